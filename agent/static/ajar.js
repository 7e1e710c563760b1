// What makes the pages more comfortable. Without it everything works.
(() => {
  'use strict';
  const $$ = (query, root = document) => Array.from(root.querySelectorAll(query));

  // The local time of an instant, where the mouse rests on it.
  const times = (root) => $$('time[datetime]', root).forEach((time) => {
    time.title = new Date(time.dateTime).toLocaleString(undefined, {dateStyle: 'full', timeStyle: 'long'});
  });

  // What can be pasted elsewhere, where the browser allows it.
  const copies = (root) => {
    if (!navigator.clipboard) return;
    $$('pre', root).forEach((pre) => {
      const text = pre.textContent.trim();
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'copy';
      button.textContent = 'Copy';
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
        setTimeout(() => { button.textContent = 'Copy'; }, 2000);
      });
      pre.prepend(button);
    });
  };

  // A link to a folded part unfolds it.
  const unfold = () => {
    const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (part && part.tagName === 'DETAILS') part.open = true;
  };

  // A test that was asked for: the page is fetched until it no longer says that it waits.
  const watch = () => {
    if (!document.getElementById('running')) return;
    setTimeout(async () => {
      try {
        const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, cache: 'no-store'});
        const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const main = fresh.querySelector('main');
        if (answer.ok && main && !fresh.getElementById('running')) {
          show(main);
          return;
        }
        const said = fresh.getElementById('running');
        if (said) document.getElementById('running').replaceChildren(...said.childNodes);
      } catch (error) {
        // The agent may be restarting: asked again below.
      }
      watch();
    }, 2000);
  };

  const show = (main) => {
    const said = document.createElement('p');
    said.setAttribute('role', 'status');
    document.querySelector('main').replaceWith(main);
    main.prepend(said);
    said.textContent = 'The test is done: this is the result.';
    const here = new URL(location.href);
    here.searchParams.delete('after');
    history.replaceState(null, '', here);
    dress(main);
  };

  const dress = (root) => {
    times(root);
    copies(root);
  };

  // Empty fields of a filter stay out of the address.
  $$('form.filter').forEach((form) => form.addEventListener('submit', () => {
    $$('input,select', form).forEach((field) => { field.disabled = field.value === ''; });
    setTimeout(() => $$('input,select', form).forEach((field) => { field.disabled = false; }));
  }));

  addEventListener('hashchange', unfold);
  unfold();
  dress(document);
  watch();
})();
