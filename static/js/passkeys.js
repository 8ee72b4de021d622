// Passkeys: asks the browser for one and sends the answer with the form. The page says so when the browser cannot.
(() => {
  "use strict";
  const able = window.PublicKeyCredential && window.webauthnJSON?.supported();
  const say = (form, text) => {
    const place = form.querySelector("[data-kv-passkey-error]");
    if (place) { place.textContent = text; place.hidden = false; }
  };

  const options = async (form) => {
    if (form.dataset.kvPasskey !== "login") return JSON.parse(form.dataset.kvOptions);
    const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return (await answer.json()).request_options;
  };

  const create = (form, wanted) => {
    const choice = wanted.publicKey.authenticatorSelection;
    const alone = Boolean(form.querySelector("input[name=passwordless]")?.checked);
    choice.residentKey = alone ? "required" : "discouraged";
    choice.requireResidentKey = alone;
    if (alone) choice.userVerification = "required";
    return window.webauthnJSON.create(wanted);
  };

  document.querySelectorAll("form[data-kv-passkey]").forEach((form) => {
    if (!able) {
      document.querySelectorAll("[data-kv-no-passkey]").forEach((note) => { note.hidden = false; });
      return;
    }
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const wanted = await options(form);
        const credential = form.dataset.kvPasskey === "create" ? await create(form, wanted) : await window.webauthnJSON.get(wanted);
        form.querySelector("input[name=credential]").value = JSON.stringify(credential);
        form.submit();
      } catch {
        say(form, form.dataset.kvFailed);
      }
    });
  });
})();
