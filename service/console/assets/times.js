// Distances from now ("3 min ago"), kept true while a page stands; and where in local time an instant lies.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function distance(at) {
  const seconds = (at - Date.now()) / 1000;
  const far = Math.abs(seconds);
  if (far < 1) return "now";
  const [size, unit] = UNITS.find(([one]) => Math.round(far) >= one);
  const told = `${Math.floor(Math.round(far) / size)} ${unit}`;
  return seconds > 0 ? `in ${told}` : `${told} ago`;
}

function tell() {
  for (const one of document.querySelectorAll("time:not([data-fixed])")) {
    const told = distance(new Date(one.dateTime));
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
