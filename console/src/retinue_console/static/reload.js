// Reloads an error page as soon as its address answers again.
const SECONDS = 3;

async function look() {
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (response.status !== 503) {
      location.reload();
      return;
    }
  } catch {
    // The console itself is away.
  }
  setTimeout(look, SECONDS * 1000);
}

setTimeout(look, SECONDS * 1000);
