// What the browser tests and the pictures share: Chromium, headless, with an empty profile and no calls home.
'use strict';
const { execFileSync } = require('node:child_process');
const { chromium } = require('playwright-core');

exports.launch = () =>
  chromium.launch({
    executablePath: execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
