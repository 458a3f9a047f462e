// Appends what a run logs while its page is looked at, each line once, from where the page ends.

const MOST = 5000;
// As in `live.js`: a stream that was refused is asked for again.
const AGAIN_MS = 2000;

function row(line) {
  const made = document.createElement("li");
  made.className = line.level;
  const cells = [
    ["at", line.at.slice(11, 23)],
    ["from", line.stage + (line.item === null ? "" : ` [${line.item}]`)],
    ["text", line.message],
  ];
  for (const [name, text] of cells) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = text;
    made.append(cell, " ");
  }
  return made;
}

export function followLogs() {
  const list = document.querySelector("[data-follow]");
  if (!list) return;
  const told = document.getElementById("following");
  const address = new URL(list.dataset.follow, location.href);
  let source = null;
  let over = false;

  function listen() {
    source = new EventSource(address);
    source.addEventListener("open", () => (told.textContent = "following: what is logged appears here"));
    source.addEventListener("error", () => {
      told.textContent = "reconnecting";
      if (source?.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
    });
    source.addEventListener("log", (event) => {
      const line = JSON.parse(event.data);
      const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
      list.append(row(line));
      address.searchParams.set("after", line.seq);
      if (list.children.length > MOST) list.firstElementChild.remove();
      if (atEnd) window.scrollTo(0, document.body.scrollHeight);
    });
    source.addEventListener("end", (event) => {
      const { state } = JSON.parse(event.data);
      told.textContent = state === "cancelled" ? "the run was cancelled" : `the run has ${state}`;
      over = true;
      source.close();
    });
  }

  function again() {
    if (source?.readyState !== EventSource.CLOSED) return;
    source = null;
    seen();
  }

  // As every page: one that nobody sees gives its connection back, and goes on from its last line when it is seen.
  function seen() {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source && !over) {
      listen();
    }
  }

  document.addEventListener("visibilitychange", seen);
  seen();
}
