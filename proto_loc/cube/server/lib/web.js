'use strict';
/**
 * Refuses requests with a foreign host, or from a page of another site, as proto_loc/web/gate.py does. A page of another
 * site can reach 127.0.0.1 if it is open in a browser of this machine.
 */

/**
 * @param {import('./settings').Settings} settings
 * @returns {import('express').RequestHandler}
 */
function ownPages(settings) {
  const own = new Set([`http://127.0.0.1:${settings.port}`, `http://localhost:${settings.port}`]);
  if (settings.forwarded) own.add(settings.forwarded);
  const hosts = new Set([...own].map((origin) => new URL(origin).hostname));
  return (req, res, next) => {
    res.set({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    if (!hosts.has(hostname(req))) {
      res.status(400).json({ error: 'This server answers to 127.0.0.1 and localhost only.' });
    } else if (!isOwn(req, own)) {
      res.status(403).json({ error: 'Pages of other sites may not call this server.' });
    } else next();
  };
}

function hostname(req) {
  const given = req.rawHeaders.filter((_, at) => at % 2 === 0 && req.rawHeaders[at].toLowerCase() === 'host');
  try {
    return given.length === 1 ? new URL(`http://${req.headers.host}`).hostname : null;
  } catch {
    return null;
  }
}

/** A browser names the page that sent a request, and a page cannot change that; a program names no page. */
function isOwn(req, own) {
  const { origin, 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = req.headers;
  if (origin !== undefined && !own.has(origin)) return false;
  return site === 'none' || site === 'same-origin' || mode === 'navigate';
}

module.exports = { ownPages };
