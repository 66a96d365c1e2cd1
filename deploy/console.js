const stale = document.getElementById("stale");
setInterval(async () => {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("now").replaceChildren(...next.getElementById("now").childNodes);
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
}, 3000);
