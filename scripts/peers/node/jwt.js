// npm `jsonwebtoken`, both ways.
//
//   node jwt.js < CASES      each a line of JSON:
//     {"verb":"sign","alg":...,"key":FILE,"claims":{...},"kid":...}      is answered {"token":...}
//     {"verb":"verify","alg":...,"key":FILE,"token":...}                 is answered {"claims":...}
//
// What it does not do is answered {"error":...}.
'use strict';
const fs = require('node:fs');
const jwt = require('jsonwebtoken');
const { answerAll } = require('./cases');

answerAll(({ verb, alg, key: file, claims, kid, token }) => {
  try {
    const key = fs.readFileSync(file);
    if (verb === 'verify') return { claims: jwt.verify(token, key, { algorithms: [alg] }) };
    return { token: jwt.sign(claims, key, { algorithm: alg, ...(kid ? { keyid: kid } : {}) }) };
  } catch (error) {
    return { error: error.message };
  }
});
