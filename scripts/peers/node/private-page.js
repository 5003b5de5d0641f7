// A person in front of the user's page: logs in, looks at the socket's state, reconnects, tries a bad token (or session, where sessions let sockets in), logs out.
//
//   node private-page.js FRONTEND-URL [SCREENSHOT-PREFIX]
//
// Prints one line of JSON: {"login401":N,"status":...,"user":...,"reconnected":...,"refused":...,"loggedOut":N,
// "complaints":[...]}. Complaints are the page's errors, and what is wider than a phone's screen.
'use strict';
const { launch } = require('./browser');
const [frontend, prefix] = process.argv.slice(2);

const PATIENCE_MS = 30000;
const NAME = 'gonzalo';
const credentials = { username: NAME, password: 'password' };
// Under TLS the certificate is by an authority of the tests' own.
const ignoreHTTPSErrors = true;
const VIEWS = [
  { name: 'light', colorScheme: 'light', viewport: { width: 900, height: 640 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 900, height: 640 } },
  { name: 'narrow', colorScheme: 'light', viewport: { width: 320, height: 640 } },
];

(async () => {
  const browser = await launch();
  try {
    const complaints = [];
    const stranger = await browser.newContext({ ignoreHTTPSErrors });
    const login401 = (await stranger.request.get(`${frontend}/login`)).status();
    await stranger.close();

    const context = await browser.newContext({ httpCredentials: credentials, ignoreHTTPSErrors });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    const status = async (state) => {
      await page.waitForSelector(`body[data-state="${state}"]`);
      return (await page.textContent('#status')).trim();
    };
    const look = async (state) => {
      for (const { name, colorScheme, viewport } of VIEWS) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (overflow > 0) complaints.push(`${state}, ${name}: ${overflow} pixels wider than the screen`);
        if (prefix) await page.screenshot({ path: `${prefix}-${state}-${name}.png` });
      }
    };

    await page.goto(`${frontend}/`);
    await look('home');
    await page.click('a[href="/login"]');
    const connected = await status('connected');
    const user = (await page.textContent('#user')).trim();
    await look('connected');

    // Another socket, which has to connect anew.
    const states = page.evaluate(
      () =>
        new Promise((resolve) => {
          const seen = [];
          new MutationObserver(() => {
            seen.push(document.body.dataset.state);
            if (seen.at(-1) === 'connected') resolve(seen);
          }).observe(document.body, { attributeFilter: ['data-state'] });
          document.getElementById('reconnect').click();
        }),
    );
    if ((await states)[0] !== 'connecting') complaints.push(`reconnecting went by ${await states}`);
    const reconnected = await status('connected');

    await page.goto(`${frontend}/private?token=not.a.token&session=never-was`);
    const refused = await status('refused');
    await look('refused');

    await page.click('form[action="/logout"] button');
    await page.waitForURL((url) => url.pathname !== '/private');
    const token = await context.request.get(`${frontend}/getIoConnectionToken`);
    console.log(
      JSON.stringify({ login401, status: connected, user, reconnected, refused, loggedOut: token.status(), complaints }),
    );
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(`private-page: ${error.stack}`);
  process.exit(1);
});
