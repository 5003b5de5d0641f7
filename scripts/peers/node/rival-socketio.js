// The original's socket server: npm's socket.io, and jsonwebtoken in a middleware.
//
//   node rival-socketio.js string|keyobject      the secret is in $SECRET
//
// `string` passes the secret as the original does: each time jsonwebtoken first tries to read it as a public key; `keyobject` prepares it once. Prints {"port":N} once it listens. Ends with its standard input.
'use strict';
const crypto = require('node:crypto');
const http = require('node:http');
const jwt = require('jsonwebtoken');
const { Server } = require('socket.io');

const secret = process.env.SECRET;
const key = process.argv[2] === 'keyobject' ? crypto.createSecretKey(Buffer.from(secret)) : secret;
const server = http.createServer();

new Server(server).use((socket, next) => {
  jwt.verify(socket.handshake.query.token, key, { algorithms: ['HS256'] }, (error, claims) => {
    if (error) return next(new Error('not valid token'));
    socket.user = claims.user;
    next();
  });
});

server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
