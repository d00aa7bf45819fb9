'use strict';
/** Limits each connection before anything is parsed: its time, its headers, and no body without a token. */
const express = require('express');

const BODY = 2 ** 20; // bytes
const LISTENER = { // options of http.createServer, in milliseconds and bytes
  maxHeaderSize: 16384, // above it: status 431
  headersTimeout: 5000, // for all headers, otherwise status 408
  requestTimeout: 10000, // for the whole request
  connectionsCheckingInterval: 1000,
};
const CONNECTIONS = 1000; // above it, new ones are closed
const IDLE = 150000; // milliseconds without traffic; longer than the longest wait for an answer

/** @param {import('http').Server} server Created with LISTENER. */
function bound(server) {
  server.maxConnections = CONNECTIONS;
  server.setTimeout(IDLE);
  return server;
}

/** Cube accepts the token in either header. */
const tokenOf = ({ headers }) => (headers['x-cube-authorization'] || headers.authorization || '').replace(/^Bearer /i, '');

/**
 * Make the handlers that parse a JSON body of at most 1 MB; without a valid token, the body is not read.
 *
 * @param {(req: object, token: string) => void} check Throws if the token is not valid.
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
  if (error.type === 'request.aborted') return res.status(408).json({ error: 'The request did not arrive completely.' });
  const status = error.status >= 400 && error.status < 500 ? error.status : 400;
  return res.status(status).json({ error: 'The request is not valid JSON.' });
}

module.exports = { LISTENER, bodies, bound, tokenOf };
