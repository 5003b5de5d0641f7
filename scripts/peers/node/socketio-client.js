// The real socket.io-client against a server, one connection per case.
//
//   node socketio-client.js --version 4|2 < CASES      each a line of JSON:
//     {"url":...,"carrier":"query"|"base64"|"header"|"subprotocol"|"cookie"|"auth"|"session"|"session-cookie"|"none","token":...,"origin":...,
//      "transports":["websocket"] by default; "default" means the client's own default: polling, then an upgrade}
//
// Each is answered by a line: {"outcome":"connected","user":...,"echo":true or what differs} and, where transports were
// given, "transport": the last one, {"outcome":"refused","message":...,"data":...} or {"outcome":"closed","reason":...}.
'use strict';
const assert = require('node:assert/strict');
const { answerAll } = require('./cases');
const [flag, value] = process.argv.slice(2);
const version = flag === '--version' ? value : '4';
// Version 2 takes a global WebSocket for a browser's, which sends no headers. Node had none at that time.
if (version === '2') delete globalThis.WebSocket;
const io = require(version === '2' ? 'socket.io-client-2' : 'socket.io-client');

const TIMEOUT_MS = 20000;
// What must come back as it was sent: text beyond ASCII and beyond the BMP, numbers, nesting, an attachment.
const SENT = [{ text: 'grüße € 🚪', list: [1, 2.5, null, true], deep: { '': [] } }, 'plain', Buffer.from([0, 255, 1])];

answerAll(({ url, carrier, token, origin, transports }) => {
  const carriers = {
    query: { query: { token } },
    base64: { query: { token }, forceBase64: true },
    header: { extraHeaders: { Authorization: `Bearer ${token}` } },
    subprotocol: { transportOptions: { websocket: { protocols: ['gatecrash', `bearer.${token}`] } } },
    cookie: { extraHeaders: { Cookie: `token=${token}`, Origin: origin } },
    auth: { auth: { token } },
    session: { query: { session: token } },
    'session-cookie': { extraHeaders: { Cookie: `gatekeeper_session=${token}`, Origin: origin } },
    none: {},
  };
  const common = { reconnection: false, forceNew: true, timeout: TIMEOUT_MS };
  const chosen = transports === 'default' ? {} : { transports: transports ?? ['websocket'] };
  const socket = io(url, { ...common, ...chosen, ...carriers[carrier] });
  // A client that may change its transport is asked once it has.
  const upgraded = () =>
    new Promise((resolve) => {
      const { engine } = socket.io;
      if (transports !== 'default' || engine.transport.name === 'websocket') resolve();
      else engine.once('upgrade', resolve);
    });
  return new Promise((resolve) => {
    const done = (outcome) => {
      resolve(outcome);
      socket.close();
    };
    // Version 2 hands over the bare string of the refusal, version 4 an Error with what came in `data`.
    const refused = (error) =>
      done({ outcome: 'refused', message: typeof error === 'string' ? error : error.message, data: error.data ?? null });
    socket.on('connect_error', refused);
    socket.on('error', refused);
    socket.on('disconnect', (reason) => done({ outcome: 'closed', reason }));
    socket.on('connect', () =>
      socket.emit('whoami', (user) => {
        socket.on('grüße', async (...back) => {
          await upgraded();
          const transport = transports && { transport: socket.io.engine.transport.name };
          done({ outcome: 'connected', user, echo: isDeepEqual(back, SENT), ...transport });
        });
        socket.emit('grüße', ...SENT);
      }),
    );
  });
});

function isDeepEqual(left, right) {
  try {
    assert.deepStrictEqual(left, right);
    return true;
  } catch (error) {
    return error.message;
  }
}
