// npm `ws` against a server, one connection.
//
//   node ws-client.js URL CARRIER TOKEN      CARRIER: query | header | subprotocol | cookie | none
//
// Prints one line of JSON: {"outcome":"connected","protocol":...,"echo":bool} or
// {"outcome":"refused","status":N,"challenge":...,"body":...}.
'use strict';
const WebSocket = require('ws');
const [url, carrier, token] = process.argv.slice(2);

const target = new URL(url);
if (carrier === 'query') target.searchParams.set('token', token);
const protocols = carrier === 'subprotocol' ? ['gatecrash', `bearer.${token}`] : [];
const headers = {};
if (carrier === 'header') headers.Authorization = `Bearer ${token}`;
if (carrier === 'cookie') Object.assign(headers, { Cookie: `token=${token}`, Origin: process.env.ORIGIN || target.origin });

const socket = new WebSocket(target, protocols, { headers, handshakeTimeout: 5000 });
const print = (line) => console.log(JSON.stringify(line));

socket.on('open', () => {
  const text = 'grüße €';
  socket.on('message', (data, isBinary) => {
    if (!isBinary) {
      if (data.toString() !== text) return socket.terminate();
      return socket.send(Buffer.from([0, 255, 1]));
    }
    print({ outcome: 'connected', protocol: socket.protocol, echo: data.equals(Buffer.from([0, 255, 1])) });
    socket.close(1000);
  });
  socket.send(text);
});
socket.on('unexpected-response', (_request, response) => {
  let body = '';
  response.on('data', (chunk) => (body += chunk));
  response.on('end', () => {
    print({ outcome: 'refused', status: response.statusCode, challenge: response.headers['www-authenticate'] || null, body });
    process.exit(0);
  });
});
socket.on('error', (error) => {
  print({ outcome: 'error', message: error.message });
  process.exit(0);
});
