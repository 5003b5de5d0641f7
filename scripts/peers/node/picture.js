// Pictures of a page, as a person sees it: wide in light and dark, and on a phone.
//
//   node picture.js FILE-OR-URL OUT-PREFIX              writes OUT-PREFIX-light.png, -dark.png, -narrow.png
//   node picture.js FILE-OR-URL OUT-PREFIX --cover      the first screens alone, in light and dark
//
// Exits with 1 when the page asks the network for anything, logs an error, or scrolls sideways on the phone.
'use strict';
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { launch } = require('./browser');
const [subject, prefix, cover] = process.argv.slice(2);
const url = /^https?:/.test(subject) ? subject : pathToFileURL(path.resolve(subject)).href;

const COVER = { width: 1200, height: 2080 };
const WIDE = { width: 1200, height: 900 };
const PHONE = { width: 360, height: 740 };
const VIEWS = [
  { name: 'light', colorScheme: 'light', viewport: cover ? COVER : WIDE },
  { name: 'dark', colorScheme: 'dark', viewport: cover ? COVER : WIDE },
  ...(cover ? [] : [{ name: 'narrow', colorScheme: 'light', viewport: PHONE }]),
];

(async () => {
  const browser = await launch();
  const complaints = [];
  try {
    for (const view of VIEWS) {
      const page = await browser.newPage({ colorScheme: view.colorScheme, viewport: view.viewport });
      page.on('request', (request) => request.url() === url || request.url().startsWith('data:') || complaints.push(`asks for ${request.url()}`));
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
      await page.goto(url);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (overflow > 0) complaints.push(`${view.name}: ${overflow} pixels wider than the screen`);
      await page.screenshot({ path: `${prefix}-${view.name}.png`, fullPage: !cover });
      await page.close();
    }
  } finally {
    await browser.close();
  }
  for (const complaint of complaints) console.error(`picture: ${complaint}`);
  process.exit(complaints.length > 0 ? 1 : 0);
})().catch((error) => {
  console.error(`picture: ${error.stack}`);
  process.exit(1);
});
