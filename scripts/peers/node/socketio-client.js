// The real socket.io-client against a server, one connection.
//
//   node socketio-client.js --version 4|2 URL CARRIER TOKEN      CARRIER: query | header | cookie | auth | none
//
// Prints one line of JSON: {"outcome":"connected","user":...,"echo":...} or {"outcome":"refused","message":...,"data":...}
// or {"outcome":"closed","reason":...}.
'use strict';
const words = process.argv.slice(2);
const version = words[0] === '--version' ? words.splice(0, 2)[1] : '4';
const [url, carrier, token] = words;
const io = require(version === '2' ? 'socket.io-client-2' : 'socket.io-client');

const carriers = {
  query: { query: { token } },
  header: { extraHeaders: { Authorization: `Bearer ${token}` } },
  cookie: { extraHeaders: { Cookie: `token=${token}`, Origin: process.env.ORIGIN || url } },
  auth: { auth: { token } },
  none: {},
};
const options = { transports: ['websocket'], reconnection: false, timeout: 5000, ...carriers[carrier] };
const socket = io(url, options);

function done(outcome) {
  console.log(JSON.stringify(outcome));
  socket.close();
}

function refused(error) {
  // Version 2 hands over the bare string of the refusal, version 4 an Error with what came in `data`.
  const message = typeof error === 'string' ? error : error.message;
  done({ outcome: 'refused', message, data: (error && error.data) || null });
}

socket.on('connect_error', refused);
socket.on('error', refused);
socket.on('connect', () => {
  const payload = { text: 'grüße €', list: [1, 2, 3] };
  socket.emit('whoami', (user) => {
    socket.on('message', (echo) => done({ outcome: 'connected', user, echo: JSON.stringify(echo) === JSON.stringify(payload) }));
    socket.emit('message', payload);
  });
});
socket.on('disconnect', (reason) => {
  if (reason !== 'io client disconnect') done({ outcome: 'closed', reason });
});
