// The way of somebody who was alerted: from the first look to the proof, to the remedy, to the letter.
import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import test from 'node:test';
import {caseOf, visit} from './world.mjs';

const TARGET = 'mx1.example.org';

for (const script of [true, false]) {
  test(`from the first look to the letter, ${script ? 'with' : 'without'} a script`, () => visit({script}, async (visitor) => {
    const {page} = visitor;
    await visitor.go('/');
    assert.match(await page.title(), /^Exposed/);
    assert.equal(await page.getByRole('heading', {level: 1}).innerText(), 'Exposed');
    await visitor.reads(/\d+ doors are proven open/, '.state');

    await visitor.click('link', `open: the case of smtp_relay on ${TARGET}`);
    assert.match(page.url(), new RegExp(`/exposures/${await caseOf(TARGET)}$`));
    await visitor.reads(/First seen[\s\S]*Last confirmed/);

    // The conversation in the notation of the RFCs, without the tokens that made it a proof.
    const said = await page.getByRole('group', {name: 'Conversation'}).first().innerText();
    assert.match(said, /^S: 220 /m);
    assert.match(said, /^C: EHLO probe\.example\.net$/m);
    assert.match(said, /^C: RCPT TO:<.*<token>.*>/m);
    assert.doesNotMatch(said, /RCPT TO:<[a-z2-7]{30,}@/);

    await visitor.reads(/It seems to be Postfix/);
    await visitor.reads(/instead of\s+mynetworks = 0\.0\.0\.0\/0/);
    await visitor.reads(/See for yourself\s+swaks .*127\.10\.0\.3/);

    await visitor.click('link', 'Notice to the owner');
    assert.match(page.url(), /\/notices\/mx1\.example\.org$/);
    await page.getByText('In other languages').click();
    await visitor.click('link', 'Deutsch');
    assert.match(page.url(), /\/notices\/mx1\.example\.org\?lang=de$/);
    assert.equal(await page.locator('html').getAttribute('lang'), 'de');
    await visitor.reads(/ist ein offenes Relay\. Das ist nachgewiesen/);

    const mail = await page.locator('a[href^="mailto:"]').getAttribute('href');
    assert.match(mail, /^mailto:mail%40example\.org\?subject=mx1\.example\.org%20bef%C3%B6rdert/);
    const [draft] = await Promise.all([page.waitForEvent('download'), page.locator('a[href*="format=eml"]').click()]);
    assert.equal(draft.suggestedFilename(), 'mx1.example.org-de.eml');
    const letter = await readFile(await draft.path(), 'utf8');
    assert.match(letter, /^To: mail@example\.org\r?$/m);
    assert.match(letter, /^Content-Type: multipart\/alternative/m);

    await visitor.click('link', TARGET);
    assert.match(page.url(), /\/targets\/mx1\.example\.org$/);
    await page.getByRole('link', {name: 'open'}).first().click();
    await page.locator('details:target[open]').waitFor();
  }));
}

test('what others say stands beside what was proven', () => visit({}, async (visitor) => {
  await visitor.go(`/targets/${TARGET}`);
  const row = visitor.page.getByRole('table', {name: 'What public databases say'}).getByRole('row').nth(1);
  assert.match(await row.innerText(), /listed[\s\S]*bl\.example[\s\S]*open relay/);
}));

test('an exemption says who, why and until when', () => visit({}, async (visitor) => {
  await visitor.go(`/exposures/${await caseOf('lab-proxy', 'http_connect')}`);
  await visitor.reads(/until 2099-12-31, the network team: a proxy for tests/);
}));
