'use strict';
/** What a connection may take before anything of it is parsed: time, headers, and a body only from who has a token. */
const express = require('express');

const BODY = 2 ** 20; // bytes
const LISTENER = { // for http.createServer; milliseconds and bytes
  maxHeaderSize: 16384, // beyond it: 431
  headersTimeout: 5000, // a connection that has not sent its headers by then: 408
  requestTimeout: 10000, // nor its body
  connectionsCheckingInterval: 1000,
};
const CONNECTIONS = 1000; // above it, new ones are closed
const IDLE = 150000; // of a connection on which nothing moves; the longest wait for an answer is shorter

/** @param {import('http').Server} server Made with LISTENER. */
function bound(server) {
  server.maxConnections = CONNECTIONS;
  server.setTimeout(IDLE);
  return server;
}

/** Cube takes a token in either header. */
const tokenOf = ({ headers }) => (headers['x-cube-authorization'] || headers.authorization || '').replace(/^Bearer /i, '');

/**
 * Bodies of at most 1 MB as JSON, and only those of who has a token; the others are not read.
 *
 * @param {(req: object, token: string) => void} check Throws where the token is not right.
 * @returns {import('express').RequestHandler[]}
 */
function bodies(check) {
  const admitted = (req, res, next) => {
    const { 'content-length': length = 0, 'transfer-encoding': chunked } = req.headers;
    if (!Number(length) && !chunked) return next();
    try {
      check(req, tokenOf(req));
    } catch (error) {
      return res.status(error.status || 500).set('connection', 'close').json({ error: error.message });
    }
    if (Number(length) > BODY) return tooLong(res);
    return next();
  };
  return [admitted, express.json({ limit: BODY }), unread];
}

const tooLong = (res) => res.status(413).set('connection', 'close').json({ error: 'The request is longer than 1 MB.' });

// eslint-disable-next-line no-unused-vars
function unread(error, req, res, next) {
  if (error.status === 413) return tooLong(res);
  res.set('connection', 'close');
  if (error.type === 'request.aborted') return res.status(408).json({ error: 'The rest of the request did not come.' });
  const status = error.status >= 400 && error.status < 500 ? error.status : 400;
  return res.status(status).json({ error: 'The request is not valid JSON.' });
}

module.exports = { LISTENER, bodies, bound, tokenOf };
