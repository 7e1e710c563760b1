// The letters as files, in each language: on a phone, by axe, on paper.
import assert from 'node:assert/strict';
import {readFileSync, readdirSync} from 'node:fs';
import {join} from 'node:path';
import test from 'node:test';
import {ROOT} from './house.mjs';
import {visit} from './world.mjs';

const FOLDER = join(ROOT, 'tests/golden/notices');
const LETTERS = readdirSync(FOLDER).filter((name) => /^[a-zA-Z-]+\.html$/.test(name) && !name.startsWith('proxies'));
const A4 = [595, 842];  // points

// How many pages a PDF of Chromium's has, and how large they are.
function sheets(pdf) {
  const text = pdf.toString('latin1');
  const boxes = [...text.matchAll(/\/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/g)].map((box) => box.slice(1).map(Number));
  return {count: [...text.matchAll(/\/Type \/Page\b(?!s)/g)].length, boxes};
}

test('the letter in each language', (t) => visit({width: 320}, async (visitor) => {
  assert.ok(LETTERS.length >= 28, LETTERS.join());
  const {page} = visitor;
  // The file as it lies, under an address of the agent.
  await page.route('**/letters/*', (route) => {
    const name = decodeURIComponent(new URL(route.request().url()).pathname.split('/').pop());
    route.fulfill({contentType: 'text/html; charset=utf-8', body: readFileSync(join(FOLDER, name))});
  });
  await page.route('**/favicon.ico', (route) => route.fulfill({status: 200, contentType: 'image/svg+xml', body: ''}));  // a file has none
  for (const name of LETTERS) {
    await t.test(name, async () => {
      await visitor.go(`/letters/${name}`);
      const lang = name.replace('.html', '');
      const root = page.locator('html');
      assert.equal(await root.getAttribute('lang'), lang);
      assert.equal(await page.evaluate(() => getComputedStyle(document.body).direction), lang === 'ar' ? 'rtl' : 'ltr');
      await visitor.fits();
      await visitor.accessible();
      const {count, boxes} = sheets(await page.pdf({preferCSSPageSize: true}));
      assert.equal(count, 1, `${count} sheets of paper`);
      assert.ok(boxes.every((box) => box.every((side, i) => Math.abs(side - A4[i]) < 2)), JSON.stringify(boxes));
    });
  }
}));

test('what leads to other forms of the letter is not on the paper', () => visit({}, async (visitor) => {
  await visitor.go('/notices/mx1.example.org?lang=fr');
  await visitor.page.emulateMedia({media: 'print'});
  assert.equal(await visitor.page.locator('nav.tools').isVisible(), false);
  assert.equal(sheets(await visitor.page.pdf({preferCSSPageSize: true})).count, 1);
}));
