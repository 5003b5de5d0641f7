// npm `jsonwebtoken`, both ways.
//
//   node jwt.js sign ALG KEYFILE CLAIMS-JSON [KID]       prints the token
//   node jwt.js verify ALG KEYFILE TOKEN                 prints the claims as JSON, or exits with 1 and the reason
'use strict';
const fs = require('node:fs');
const jwt = require('jsonwebtoken');
const [verb, algorithm, keyFile, subject, keyid] = process.argv.slice(2);
const key = fs.readFileSync(keyFile);

try {
  if (verb === 'sign') console.log(jwt.sign(JSON.parse(subject), key, { algorithm, ...(keyid ? { keyid } : {}) }));
  else console.log(JSON.stringify(jwt.verify(subject, key, { algorithms: [algorithm] })));
} catch (error) {
  console.error(`jwt: ${error.message}`);
  process.exit(1);
}
