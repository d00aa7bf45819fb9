'use strict';
/** Measures the time of each query, and shows the figures at `/metrics` to a token that sees all rows. */
const { Histogram, Registry } = require('prom-client');
const { limits } = require('./access');
const { tokenOf } = require('./bounds');

const APIS = { '/cubejs-api/v1/load': 'rest', '/cubejs-api/graphql': 'graphql' };
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]; // seconds; those of Superset's queries, too

/** The handlers that measure, and that show the figures. */
function metrics(check) {
  const registry = new Registry();
  const seconds = new Histogram({
    name: 'loc_cube_query_seconds',
    help: 'Seconds from the request of a query to its answer, by API and outcome.',
    labelNames: ['api', 'outcome'],
    buckets: BUCKETS,
    registers: [registry],
  });
  return {
    /** @type {import('express').RequestHandler} */
    measure: (req, res, next) => {
      const api = APIS[req.path.replace(/\/+$/, '')];
      if (api) {
        const end = seconds.startTimer({ api });
        res.once('close', () => end({ outcome: outcome(res) }));
      }
      next();
    },
    /** @type {import('express').RequestHandler} */
    show: (req, res) => {
      try {
        check(req, tokenOf(req));
        if (limits(req.securityContext)) return res.status(403).json({ error: 'This token does not see all rows.' });
      } catch (error) {
        return res.status(error.status || 500).json({ error: error.message });
      }
      return registry.metrics().then((text) => res.type(registry.contentType).send(text));
    },
  };
}

function outcome(res) {
  if (!res.writableFinished) return 'aborted';
  if (res.statusCode >= 500) return 'failed';
  return res.statusCode >= 400 ? 'refused' : 'answered';
}

module.exports = { metrics };
