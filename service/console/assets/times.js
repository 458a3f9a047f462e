// Distances from now ("3 min ago"), and for how long something goes on ("1 min 17 s"), kept true while a page stands; and
// where in local time an instant lies.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function distance(at) {
  const seconds = (at - Date.now()) / 1000;
  const far = Math.abs(seconds);
  if (far < 1) return "now";
  const [size, unit] = UNITS.find(([one]) => Math.round(far) >= one);
  const told = `${Math.floor(Math.round(far) / size)} ${unit}`;
  return seconds > 0 ? `in ${told}` : `${told} ago`;
}

function lasted(begun) {
  const seconds = Math.max(1, Math.floor((Date.now() - begun) / 1000));
  const at = UNITS.findIndex(([one]) => seconds >= one);
  const [[size, unit], [smaller, under] = []] = UNITS.slice(at);
  const rest = smaller ? Math.floor((seconds % size) / smaller) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${under}` : ""}`;
}

function tell() {
  for (const one of document.querySelectorAll("time:not([data-fixed])")) {
    const at = new Date(one.dateTime);
    const told = "lasts" in one.dataset ? lasted(at) : distance(at);
    if (one.textContent !== told) one.textContent = told;
  }
}

let ticking = null;

export function keepTimes() {
  for (const one of document.querySelectorAll("time:not([data-local])")) {
    one.dataset.local = "";
    one.title = `${one.title || one.textContent}\n${new Date(one.dateTime).toLocaleString()}`;
  }
  tell();
  ticking ??= setInterval(tell, 1000);
}
