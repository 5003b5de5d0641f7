// npm `ws` against a server, one connection per case.
//
//   node ws-client.js < CASES      each a line of JSON:
//     {"url":...,"carrier":"query"|"header"|"subprotocol"|"cookie"|"none","token":...,"origin":...}
//
// Each is answered by a line: {"outcome":"connected","protocol":...,"echo":bool,"code":N} (the close code),
// {"outcome":"refused","status":N,"challenge":...,"body":...} or {"outcome":"error","message":...}.
'use strict';
const WebSocket = require('ws');
const { answerAll } = require('./cases');

const TIMEOUT_MS = 20000;
const TEXT = 'grüße € 🚪';
const BINARY = Buffer.from([0, 255, 1]);

answerAll(({ url, carrier, token, origin }) => {
  const target = new URL(url);
  if (carrier === 'query') target.searchParams.set('token', token);
  const protocols = carrier === 'subprotocol' ? ['gatecrash', `bearer.${token}`] : [];
  const headers = {};
  if (carrier === 'header') headers.Authorization = `Bearer ${token}`;
  if (carrier === 'cookie') Object.assign(headers, { Cookie: `token=${token}`, Origin: origin });
  const socket = new WebSocket(target, protocols, { headers, handshakeTimeout: TIMEOUT_MS });

  return new Promise((resolve) => {
    const back = [];
    socket.on('open', () => {
      socket.send(TEXT);
      socket.send(BINARY);
    });
    socket.on('message', (data, isBinary) => {
      back.push(isBinary ? data : data.toString());
      if (back.length === 2) socket.close(1000);
    });
    socket.on('close', (code) => {
      const echo = back.length === 2 && back[0] === TEXT && BINARY.equals(back[1]);
      resolve({ outcome: 'connected', protocol: socket.protocol, echo, code });
    });
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => {
        const challenge = response.headers['www-authenticate'] ?? null;
        resolve({ outcome: 'refused', status: response.statusCode, challenge, body });
      });
    });
    socket.on('error', (error) => resolve({ outcome: 'error', message: error.message }));
  });
});
