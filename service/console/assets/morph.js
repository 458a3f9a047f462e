// Makes one element like another, keeping what need not change: focus, open details, what is being typed.

export function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(document.importNode(to, true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    from.nodeValue = to.nodeValue;
    return;
  }
  if (from.nodeName === "FORM" && from.contains(document.activeElement)) return;
  attributes(from, to);
  children(from, to);
}

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

// By id where either has one, else in their order: what comes anew above takes nothing's place, nor its focus.
function children(from, to) {
  const byId = new Map([...from.children].filter((one) => one.id).map((one) => [one.id, one]));
  let at = from.firstChild;
  for (const wanted of to.childNodes) {
    const known = wanted.id ? byId.get(wanted.id) : null;
    if (known && known !== at) from.insertBefore(known, at);
    const held = known ?? (at && !at.id && !wanted.id ? at : null);
    if (held) {
      at = held.nextSibling;
      morph(held, wanted);
    } else {
      from.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}
