// Keeps a page true: the run log tells that something happened, the page is asked for again, and what differs is changed.
import { morph } from "./morph.js";
import { keepTimes } from "./times.js";
import { keepForms } from "./forms.js";
import { followLogs } from "./logs.js";

// Between two looks, however much happens: as long as a look takes, so that a busy daemon is asked less; the first look is
// at once.
const LEAST_MS = 40;
// After an answer that is no stream (the database is away, a proxy tells that the daemon is) a browser does not come again
// by itself.
const AGAIN_MS = 2000;
const address = document.body.dataset.stream;
const status = document.getElementById("stream");
let source = null;
let place = null;
let begun = false;
let looking = false;
let wanted = false;
let signedOut = false;

function say(text, on) {
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("on", on);
}

function listen() {
  const from = new URL(address, location.href);
  if (place) from.searchParams.set("after", place);
  source = new EventSource(from);
  source.onopen = () => {
    say("live", true);
    // Of what is in no log nothing is told afterwards.
    if (begun) look();
    begun = true;
  };
  source.onerror = () => {
    say(signedOut ? "signed out" : "reconnecting", false);
    if (source?.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
  };
  source.onmessage = (event) => {
    place = event.lastEventId;
    look();
  };
  // What is shown is in no log.
  source.addEventListener("changed", look);
  // The place is ahead of the log, which was restored: it goes on from now.
  source.addEventListener("anew", source.onmessage);
}

async function again() {
  if (source?.readyState !== EventSource.CLOSED) return;
  source = null;
  // The stream does not say why it was refused; the page does.
  await refresh();
  seen();
}

async function look() {
  wanted = true;
  if (looking) return;
  looking = true;
  while (wanted) {
    wanted = false;
    const since = performance.now();
    await refresh();
    const pause = Math.max(LEAST_MS, performance.now() - since);
    await new Promise((done) => setTimeout(done, pause));
  }
  looking = false;
}

async function refresh() {
  const headers = { Accept: "text/html", ...(place && { "Last-Event-ID": place }) };
  const answer = await fetch(location.href, { headers }).catch(() => null);
  signedOut = Boolean(answer?.redirected);
  if (!answer || !answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other) morph(part, other);
  }
  document.title = fresh.title;
  keepTimes();
}

// A browser opens few connections to one host: pages that nobody sees give theirs back, and look again when they are seen.
function seen() {
  if (document.hidden) {
    source?.close();
    source = null;
  } else if (!source) {
    listen();
  }
}

keepTimes();
keepForms();
followLogs();
if (address) {
  document.addEventListener("visibilitychange", seen);
  seen();
}
