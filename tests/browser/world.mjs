// What the tests share.
import {Visitor} from './browser.mjs';

export const world = {house: null, browser: null};

// Somebody who looks, and leaves whatever happens.
export async function visit(how, look) {
  const visitor = await Visitor.come(world.browser, world.house.origin, how);
  try {
    await look(visitor);
    visitor.fine();
  } finally {
    await visitor.leave();
  }
}

export async function caseOf(target, check) {
  const cases = await world.house.data('/api/v1/exposures');
  return cases.find((one) => one.target === target && (!check || one.check === check)).id;
}

// Every kind of page: what it is called, its address, what stands in it, its status.
export async function pages() {
  const relay = encodeURIComponent('mx1.example.org');
  return [
    ['now', '/', /Exposed/],
    ['targets', '/targets', /mx1\.example\.org/],
    ['a mail server', `/targets/${relay}`, /message_delivered/],
    ['a proxy', '/targets/proxy1', /token_returned/],
    ['a closed server', '/targets/mx2.example.org', /refused/],
    ['one result', `/targets/lab-proxy?check=socks5`, /socks5/],
    ['exposures', '/exposures', /This selection as/],
    ['a case', `/exposures/${await caseOf('mx1.example.org')}`, /How to close it/],
    ['an exempt case', `/exposures/${await caseOf('lab-proxy', 'http_connect')}`, /a proxy for tests/],
    ['databases', '/zones', /bl\.example/],
    ['runbooks', '/runbooks/', /AjarDoorOpen/],
    ['a runbook', '/runbooks/AjarDoorOpen', /AjarDoorOpen/],
    ['the configuration', '/config', /probe\.example\.net/],
    ['a notice', `/notices/${relay}?lang=en`, /The first step/],
    ['a notice in German', `/notices/${relay}?lang=de`, /Der erste Schritt/],
    ['a notice in Arabic', `/notices/${relay}?lang=ar`, /127\.10\.0\.3/],
    ['not found', '/targets/nobody', /404/, 404],
    ['asked wrongly', '/targets?sort=colour', /400/, 400],
  ].map(([name, path, says, status = 200]) => ({name, path, says, status}));
}
