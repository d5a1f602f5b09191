// Offers to show new images. Nothing on the page moves by itself.

const button = document.getElementById("new-images");
const SECONDS = 10;

async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch(button.dataset.ask);
    if (!answer.ok) return;
    const { image_id: newest } = await answer.json();
    button.hidden = newest === null || newest === button.dataset.newest;
  } catch {
    // The console is away; the next time may do.
  }
}

if (button !== null) setInterval(ask, SECONDS * 1000);
