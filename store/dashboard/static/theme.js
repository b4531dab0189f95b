// Before the page is drawn: what was chosen earlier. Without a choice the system's setting holds.
(() => {
  const chosen = window.localStorage.getItem("tidemark.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
