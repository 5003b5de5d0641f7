// A raw WebSocket service with npm's ws and jsonwebtoken.
//
//   node ws-server.js [--refuse 401|4401] [--port 0]      the secret is in $SECRET
//
// The token is looked for in the query (`token`), in `Authorization: Bearer`, among the subprotocols (`bearer.<jwt>`
// beside `gatecrash`, which is selected) and in the cookie `token`. An invalid one is refused by HTTP 401 before the
// upgrade, or upgraded and closed with 4401. Every message is echoed.
//
// Prints {"port":N} once it listens. `GET /stats` answers
// {"accepted":N,"refused":N,"open":N,"echoed":N,"bytes":N,"users":{NAME:N},"carriers":{CARRIER:N}}.
'use strict';
const http = require('node:http');
const jwt = require('jsonwebtoken');
const { WebSocketServer } = require('ws');

const flags = readFlags(process.argv.slice(2));
const secret = Buffer.from(process.env.SECRET || fail('set $SECRET'));
const counts = { accepted: 0, refused: 0, open: 0, echoed: 0, bytes: 0, users: {}, carriers: {} };

const server = http.createServer((request, response) => {
  if (request.url !== '/stats') return response.writeHead(404).end();
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(counts));
});
const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) => (offered.has('gatecrash') ? 'gatecrash' : false),
});

server.on('upgrade', (request, socket, head) => {
  const { carrier, token } = findToken(request);
  jwt.verify(token, secret, { algorithms: ['HS256'] }, (error, claims) => {
    if (error) counts.refused += 1;
    if (error && flags.refuse === '401') {
      const body = 'not valid token';
      const head = ['HTTP/1.1 401 Unauthorized', 'Connection: close', 'Content-Type: text/plain', `Content-Length: ${body.length}`];
      return socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
    }
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      if (error) return websocket.close(4401, 'not valid token');
      welcome(websocket, carrier, claims.user.username);
    });
  });
});

function welcome(websocket, carrier, user) {
  counts.accepted += 1;
  counts.open += 1;
  counts.users[user] = (counts.users[user] || 0) + 1;
  counts.carriers[carrier] = (counts.carriers[carrier] || 0) + 1;
  websocket.on('message', (data, isBinary) => {
    counts.echoed += 1;
    counts.bytes += data.length;
    websocket.send(data, { binary: isBinary });
  });
  websocket.on('close', () => (counts.open -= 1));
}

function findToken(request) {
  const found = {
    query: new URL(request.url, 'http://localhost').searchParams.get('token'),
    header: after('Bearer ', [request.headers.authorization]),
    subprotocol: after('bearer.', (request.headers['sec-websocket-protocol'] || '').split(/, */)),
    cookie: after('token=', (request.headers.cookie || '').split(/; */)),
  };
  const carrier = Object.keys(found).find((carrier) => found[carrier]);
  return { carrier, token: found[carrier] };
}

/** What follows the prefix in the first of the texts that has it. */
function after(prefix, texts) {
  return texts.find((text) => text?.startsWith(prefix))?.slice(prefix.length);
}

server.listen(flags.port, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0)); // ends with whoever started it

function readFlags(args) {
  const read = { port: 0, refuse: '401' };
  while (args.length > 0) {
    const flag = args.shift();
    if (flag === '--refuse') read.refuse = args.shift();
    else if (flag === '--port') read.port = Number(args.shift());
    else fail(`unknown flag ${flag}`);
  }
  return read;
}

function fail(why) {
  console.error(`ws-server: ${why}`);
  process.exit(2);
}
