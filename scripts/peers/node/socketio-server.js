// The service that this project rebuilds, as its users run it: Node, socket.io, jsonwebtoken in a middleware that
// reads the token from the handshake's query.
//
//   node socketio-server.js --version 4|2 [--port 0] [--tls CERT KEY] [--namespace /] [--ping MS]
//
// The secret is in $SECRET.
//
// Prints {"port":N} once it listens, with TLS also "stats", the port of `/stats`. `GET /stats` answers {"accepted":N,"refused":N,"open":N,"echoed":N,"resumed":N,
// "websockets":N,"users":{NAME:N}}; websockets are sockets that were on one when they ended.
// `GET /metrics` is prom-client's page of its defaults and of the gauge `socketio_sockets_open`.
'use strict';
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const jwt = require('jsonwebtoken');
const prometheus = require('prom-client');

const flags = readFlags(process.argv.slice(2));
const secret = Buffer.from(process.env.SECRET || fail('set $SECRET'));
const counts = { accepted: 0, refused: 0, open: 0, echoed: 0, resumed: 0, websockets: 0, users: {} };

prometheus.collectDefaultMetrics();
new prometheus.Gauge({
  name: 'socketio_sockets_open',
  help: 'Sockets that are connected.',
  collect() {
    this.set(counts.open);
  },
});

const answer = async (request, response) => {
  if (request.url === '/metrics') {
    const page = await prometheus.register.metrics();
    return response.setHeader('Content-Type', prometheus.register.contentType).end(page);
  }
  if (request.url !== '/stats') return response.writeHead(404).end();
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(counts));
};
const server = flags.tls
  ? https.createServer({ cert: fs.readFileSync(flags.tls[0]), key: fs.readFileSync(flags.tls[1]) }, answer)
  : http.createServer(answer);
server.on('secureConnection', (socket) => (counts.resumed += socket.isSessionReused() ? 1 : 0));

const options = flags.ping ? { pingInterval: flags.ping } : {};
const io =
  flags.version === '2' ? require('socket.io-2')(server, options) : new (require('socket.io').Server)(server, options);
const namespace = io.of(flags.namespace);

namespace.use((socket, next) => {
  jwt.verify(socket.handshake.query.token, secret, { algorithms: ['HS256'] }, (error, claims) => {
    if (error) {
      counts.refused += 1;
      return next(new Error('not valid token'));
    }
    socket.user = claims.user && claims.user.username;
    next();
  });
});

namespace.on('connection', (socket) => {
  counts.accepted += 1;
  counts.open += 1;
  counts.users[socket.user] = (counts.users[socket.user] || 0) + 1;
  socket.on('message', (...received) => {
    const acknowledge = typeof received.at(-1) === 'function' ? received.pop() : null;
    counts.echoed += 1;
    if (acknowledge) acknowledge(...received);
    else socket.emit('message', ...received);
  });
  const { conn } = socket; // by the time of its end its transport may be forgotten
  let transport = conn.transport.name;
  conn.on('upgrade', (to) => (transport = to.name));
  socket.on('disconnect', () => {
    counts.open -= 1;
    counts.websockets += transport === 'websocket' ? 1 : 0;
  });
});

server.listen(flags.port, '127.0.0.1', () => {
  const ready = { port: server.address().port };
  if (!flags.tls) return console.log(JSON.stringify(ready));
  const plain = http.createServer(answer); // counts are asked for without TLS
  plain.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ ...ready, stats: plain.address().port })));
});
process.stdin.resume().on('end', () => process.exit(0)); // ends with whoever started it

function readFlags(args) {
  const read = { version: '4', port: 0, tls: null, namespace: '/', ping: 0 };
  while (args.length > 0) {
    const flag = args.shift();
    if (flag === '--version') read.version = args.shift();
    else if (flag === '--port') read.port = Number(args.shift());
    else if (flag === '--namespace') read.namespace = args.shift();
    else if (flag === '--ping') read.ping = Number(args.shift());
    else if (flag === '--tls') read.tls = [args.shift(), args.shift()];
    else fail(`unknown flag ${flag}`);
  }
  return read;
}

function fail(why) {
  console.error(`socketio-server: ${why}`);
  process.exit(2);
}
