// A raw WebSocket server written for speed in Node: npm's ws, and fast-jwt with its verifier prepared once.
//
//   node rival-ws.js      the secret is in $SECRET
//
// Prints {"port":N} once it listens. Ends with its standard input.
'use strict';
const http = require('node:http');
const { createVerifier } = require('fast-jwt');
const { WebSocketServer } = require('ws');

const verify = createVerifier({ key: process.env.SECRET, algorithms: ['HS256'] });
const server = http.createServer((request, response) => response.writeHead(404).end());
const sockets = new WebSocketServer({ noServer: true });

server.on('upgrade', (request, socket, head) => {
  let claims;
  try {
    claims = verify(request.url.slice(request.url.indexOf('token=') + 'token='.length));
  } catch {
    return socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  }
  sockets.handleUpgrade(request, socket, head, (websocket) => {
    websocket.user = claims.user;
    websocket.on('error', () => {}); // a reset is how the benchmark says goodbye
  });
});

server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
