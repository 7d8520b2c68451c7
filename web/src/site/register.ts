/** @file Starts the static site's service worker, and loads the page once more where that gives WebAssembly threads. */

const reloaded = "koala.reloaded";

/**
 * Resolves when the page can be shown; never where it is being loaded anew: on a first visit to a host that sends no
 * headers, whose pages are isolated only once the service worker answers for them.
 */
export async function startServiceWorker(): Promise<void> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return; // neither https nor this machine
  const registered = workers.register("service-worker.js").then(() => workers.ready);
  if (crossOriginIsolated) {
    sessionStorage.removeItem(reloaded);
    // It then keeps what a visit without a network needs.
    void registered.then(({ active }) => active?.postMessage("shown")).catch(() => {});
    return;
  }
  // Once: a page that was loaded past its service worker, by Shift and reload, stays without threads.
  if (sessionStorage.getItem(reloaded) !== null) return;
  const ready = await Promise.race([registered.catch(() => undefined), after(5000)]);
  if (!ready) return;
  sessionStorage.setItem(reloaded, "yes");
  location.reload();
  await new Promise(() => {});
}

const after = (ms: number) => new Promise<undefined>((resolve) => setTimeout(resolve, ms));
