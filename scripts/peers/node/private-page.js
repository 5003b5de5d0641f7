// A person in front of the user's page: logs in, looks at the socket's state, then tries a bad token.
//
//   node private-page.js FRONTEND-URL [SCREENSHOT-PREFIX]
//
// Prints one line of JSON: {"login401":N,"status":...,"user":...,"refused":...,"errors":[...]}.
'use strict';
const { launch } = require('./browser');
const [frontend, prefix] = process.argv.slice(2);

(async () => {
  const browser = await launch();
  try {
    const errors = [];
    const context = await browser.newContext({ httpCredentials: { username: 'gonzalo', password: 'password' } });
    const page = await context.newPage();
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));

    const stranger = await browser.newContext();
    const login401 = (await stranger.request.get(`${frontend}/login`)).status();
    await stranger.close();

    await page.goto(`${frontend}/`);
    await page.click('a[href="/login"]');
    await page.waitForSelector('body[data-state="connected"]', { timeout: 15000 });
    const status = await page.textContent('#status');
    const user = await page.textContent('#user');
    if (prefix) await page.screenshot({ path: `${prefix}-connected.png` });

    await page.goto(`${frontend}/private?token=not.a.token`);
    await page.waitForSelector('body[data-state="refused"]', { timeout: 15000 });
    const refused = await page.textContent('#status');
    if (prefix) await page.screenshot({ path: `${prefix}-refused.png` });

    console.log(JSON.stringify({ login401, status: status.trim(), user: user.trim(), refused: refused.trim(), errors }));
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(`private-page: ${error.stack}`);
  process.exit(1);
});
