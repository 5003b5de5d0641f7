// How a test asks a peer: one case a line on standard input, as JSON, and one answer a line, in the same order. One
// process answers them all, at once, because Node takes longer to start than a case takes.
'use strict';
const readline = require('node:readline');

/** Answers every case by `answer(case)`, which may return a promise, then ends the process. */
exports.answerAll = async (answer) => {
  const answers = [];
  for await (const line of readline.createInterface({ input: process.stdin })) answers.push(answer(JSON.parse(line)));
  for (const result of await Promise.all(answers)) console.log(JSON.stringify(result));
};
