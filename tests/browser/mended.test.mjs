// "Test again" after a door was closed: the page shows it, with and without a script, by mouse and by keyboard.
import assert from 'node:assert/strict';
import test from 'node:test';
import {caseOf, visit, world} from './world.mjs';

const LIMIT = 60000;

// What the page of a target says.
async function isClosed(name, visitor) {
  const [result] = await world.house.data(`/api/v1/results?target=${name}`);
  assert.equal(result.verdict, 'closed');
  await visitor.page.locator('table.grid .badge.closed').waitFor();
  assert.equal(await visitor.page.locator('h1 .badge').innerText(), 'closed');
  await visitor.page.getByRole('table', {name: 'Cases of this target'}).getByText('fixed').waitFor();
}

test('with a script the page shows by itself that the door is closed, and asking again at once is too soon', () =>
  visit({}, async (visitor) => {
    const {page} = visitor;
    await visitor.go('/targets/mended');
    assert.equal(await page.locator('h1 .badge').innerText(), 'open');
    await world.house.change('mended', 'closed');
    await visitor.click('button', 'Test again');
    assert.match(page.url(), /\/targets\/mended\?after=\d+$/);
    await page.getByText('The test is done: this is the result.').waitFor({timeout: LIMIT});
    assert.equal(new URL(page.url()).search, '');
    await world.house.isFixed('mended');
    await visitor.go('/targets/mended');
    await isClosed('mended', visitor);

    await visitor.click('button', 'Test again', 429);
    await visitor.reads(/Too soon 429[\s\S]*it was tested a moment ago[\s\S]*try again in a minute/);
    await visitor.accessible();
    await visitor.go(`/exposures/${await caseOf('mended')}`);
    await visitor.reads(/fixed[\s\S]*Time to close/);
  }));

test('without a script the page loads again until the door is closed', () => visit({script: false}, async (visitor) => {
  const {page} = visitor;
  const name = 'mended-without-script';
  await world.house.change(name, 'closed');
  await visitor.go(`/exposures/${await caseOf(name)}`);
  await visitor.click('button', 'Test again');
  assert.match(page.url(), /\/exposures\/[^/]+\?after=\d+$/);
  await page.locator('h1 .badge.closed').or(page.getByText('The test is running.')).first().waitFor({timeout: LIMIT});
  await page.locator('#running').waitFor({state: 'detached', timeout: LIMIT});
  await world.house.isFixed(name);
  await page.reload();
  assert.equal(await page.locator('h1 .badge').innerText(), 'fixed');
  await visitor.go(`/targets/${name}`);
  await isClosed(name, visitor);
}));

test('by keyboard alone', () => visit({}, async (visitor) => {
  const {page} = visitor;
  const name = 'mended-by-keyboard';
  await world.house.change(name, 'closed');
  await visitor.go(`/targets/${name}`);
  const button = page.getByRole('button', {name: 'Test again'});
  for (let i = 0; i < 40 && !await button.evaluate((one) => one === document.activeElement); ++i) await page.keyboard.press('Tab');
  await visitor.follow(() => page.keyboard.press('Enter'));
  await page.getByText('The test is done: this is the result.').waitFor({timeout: LIMIT});
  await world.house.isFixed(name);
}));

test('a server that no longer answers us is not closed', () => visit({}, async (visitor) => {
  await world.house.change('old-mx', 'reset');
  await visitor.go('/targets/old-mx');
  await visitor.click('button', 'Test again');
  await visitor.page.getByText('The test is done: this is the result.').waitFor({timeout: LIMIT});
  await visitor.go(`/exposures/${await caseOf('old-mx')}`);
  await visitor.reads(/Open, not seen since/);
  await visitor.go('/');
  await visitor.reads(/One of them cannot be seen from here now/, '.state');
  await visitor.accessible();
}));

test('a form that is not ours is refused', async () => {
  const {origin} = world.house;
  const asked = {method: 'POST', headers: {Origin: origin, 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'text/html'}};
  const answer = await fetch(`${origin}/probe?target=proxy1`, {...asked, body: 'token=invented'});
  assert.equal(answer.status, 403);
  assert.match(await answer.text(), /load the page again/);
});
