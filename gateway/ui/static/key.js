// The API key, for as long as the tab is open, and the dialog that asks for it.

import { byId } from "./dom.js";

const NAME = "baton-api-key";

export const headers = () => {
  const key = sessionStorage.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
};

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

export function forget() {
  sessionStorage.removeItem(NAME);
}

let asking = null;

// Resolves once somebody has given a key; whether it is right is found out with it.
export function ask() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    const wrong = hasKey();
    forget();
    byId("key-wrong").hidden = !wrong;
    byId("key").value = "";
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, byId("key").value.trim());
      byId("key").value = "";
      asking = null;
      dialog.close();
      resolve();
    };
    dialog.onclose = () => asking && dialog.showModal(); // there is nothing to see without a key
    dialog.showModal();
  });
  return asking;
}
