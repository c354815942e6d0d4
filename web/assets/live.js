// Pages work without this. It fetches the page again when the gateway says that
// something changed, and puts the parts that changed in place.
(() => {
  "use strict";
  const address = document.body.dataset.events;
  if (!address || !window.EventSource || !window.DOMParser) return;

  let source = null, due = 0, busy = false, again = false;

  const say = text => {
    const said = document.getElementById("said");
    if (said && said.textContent !== text) said.textContent = text;
  };

  // replace keeps what is being typed.
  const replace = (old, fresh) => {
    const typed = old.querySelector("textarea");
    const value = typed && typed.value, focused = typed && document.activeElement === typed;
    old.replaceChildren(...fresh.childNodes);
    const field = old.querySelector("textarea");
    if (field && typed) {
      field.value = value;
      if (focused) field.focus();
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") { location.reload(); return; } // signed out
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(old.id);
        if (fresh && fresh.innerHTML !== old.innerHTML) replace(old, fresh);
      }
      if (document.title !== page.title) {
        document.title = page.title;
        say("The list has changed");
      }
    } catch { /* the gateway is away: the stream comes back, and asks again */
    } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  };

  const soon = () => { clearTimeout(due); due = setTimeout(refresh, 120); };

  const listen = () => {
    if (source) return;
    source = new EventSource(address);
    source.addEventListener("request", event => {
      soon();
      const state = JSON.parse(event.data).state;
      if (address.endsWith("/wait") && state !== "pending") {
        say("The request is " + state);
        source.close();
      }
    });
  };

  // A hidden page holds no connection; a browser has few of them.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else {
      listen();
      soon();
    }
  });
  if (!document.hidden) listen();
  setInterval(() => { if (!document.hidden && document.querySelector("[data-tick]")) soon(); }, 30000);
})();
