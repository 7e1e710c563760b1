// How the pages look: light and dark, narrow and wide, with and without a script, to a keyboard and to axe.
import assert from 'node:assert/strict';
import test from 'node:test';
import {pages, visit, world} from './world.mjs';

const brightness = ([red, green, blue]) => (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
const background = async (page) => brightness((await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
  .match(/\d+/g).map(Number));

// The same visitor sees all pages: a new one for each costs seconds.
const everyPage = (t, how, look) => visit(how, async (visitor) => {
  for (const page of await pages()) {
    await t.test(page.name, async () => {
      await visitor.go(page.path, page.status);
      await visitor.reads(page.says);
      await look(visitor, page);
    });
  }
});

// What can be reached by keyboard and does not show it. By a script, but after a key: as if by the Tab key.
async function unseenFocus(page) {
  await page.keyboard.press('Tab');
  return page.evaluate(() => {
    const look = (element) => {
      const {outlineStyle, outlineWidth, outlineColor, boxShadow} = getComputedStyle(element);
      return [outlineStyle, outlineStyle === 'none' ? '' : outlineWidth + outlineColor, boxShadow].join();
    };
    document.activeElement.blur();
    const all = [...document.querySelectorAll('a[href],button,input:not([type=hidden]),select,summary,[tabindex="0"]')]
      .filter((element) => element.checkVisibility());
    return all.filter((element) => {
      const before = look(element);
      element.focus();
      const {width, height} = element.getBoundingClientRect();
      return document.activeElement !== element || look(element) === before || width === 0 || height === 0;
    }).map((element) => element.outerHTML.slice(0, 120));
  });
}

test('by day, on a desk and on a wall: accessible, and the focus can be seen', (t) =>
  everyPage(t, {}, async (visitor) => {
    assert.ok(await background(visitor.page) > 0.9);
    await visitor.accessible();
    assert.deepEqual(await unseenFocus(visitor.page), []);
    await visitor.page.setViewportSize({width: 3840, height: 600});
    await visitor.fits();
    await visitor.page.setViewportSize({width: 1280, height: 900});
  }));

test('by night, on a small phone: accessible, and nothing is to be reached sideways', (t) =>
  everyPage(t, {dark: true, width: 320}, async (visitor) => {
    assert.ok(await background(visitor.page) < 0.1);
    await visitor.accessible();
    await visitor.fits();
  }));

test('without a script every page has its content', (t) =>
  everyPage(t, {script: false, width: 320}, (visitor) => visitor.fits()));

test('the pages are dark at once when the system becomes so', () => visit({}, async (visitor) => {
  await visitor.go('/');
  assert.ok(await background(visitor.page) > 0.9);
  await visitor.page.emulateMedia({colorScheme: 'dark'});
  assert.ok(await background(visitor.page) < 0.1);
}));

test('the first Tab reaches the link past the navigation, and it works', () => visit({}, async ({page}) => {
  for (const path of ['/', '/targets', '/exposures']) {
    await page.goto(path);
    await page.keyboard.press('Tab');
    const skip = page.locator('a.skip:focus');
    await skip.waitFor();
    assert.ok((await skip.boundingBox()).x >= 0, 'it cannot be seen');
    await page.keyboard.press('Enter');
    await page.locator('main:focus').waitFor();
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(() => document.activeElement.closest('main') !== null));
  }
}));

test('our own script is small, the favicon is there, and the policy lets nothing else in', async () => {
  const {origin} = world.house;
  const home = await fetch(origin);
  assert.match(home.headers.get('content-security-policy'), /^default-src 'self';/);
  assert.doesNotMatch(home.headers.get('content-security-policy'), /unsafe|\*|https?:|data:/);
  const text = await home.text();
  assert.doesNotMatch(text, /<style|<script(?! defer src="\/static\/)|\son[a-z]+=|\sstyle=/);
  const sizes = await Promise.all([...text.matchAll(/<script defer src="([^"]+)"/g)].map(async ([, path]) => {
    const answer = await fetch(origin + path);
    assert.equal(answer.status, 200);
    return (await answer.text()).length;
  }));
  const size = sizes.reduce((sum, one) => sum + one, 0);
  assert.ok(size > 0 && size < 10000, `${size} bytes of script`);
  const icon = await fetch(origin + text.match(/<link rel=icon type="image\/svg\+xml" href="([^"]+)"/)[1]);
  assert.equal(icon.status, 200);
  assert.equal(icon.headers.get('content-type'), 'image/svg+xml');
  assert.match(await icon.text(), /^<svg /);
});
