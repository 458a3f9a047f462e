// A form is sent once, and filters are sent when they change.

export function keepForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") {
      for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
      return;
    }
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => form.querySelectorAll("button").forEach((one) => (one.disabled = true)));
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[method=get] select")) event.target.form.requestSubmit();
  });
  // Back in history: what was sent may be sent anew.
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const field of document.querySelectorAll("[disabled]")) field.disabled = false;
  });
}
