'use strict';
/** Cube's server for the published version of `prod`: REST and GraphQL on 127.0.0.1. `./loc exec cube` starts it. */
const http = require('http');
const { line, logger } = require('./lib/log');

async function main() {
  const settings = require('./lib/settings').read();
  const native = require('./lib/native').choose(settings.native); // before any other module of Cube is loaded
  const express = require('express');
  const { Core } = require('./lib/core');
  const engines = require('./lib/engines');
  const { Versions } = require('./lib/versions');
  const { checkAuth, limitRows, withoutSqlApi } = require('./lib/auth');
  const { NO_SQL_API } = require('../../standins/cube-native');
  const { ownPages } = require('./lib/web');
  const { metrics } = require('./lib/metrics');
  const { compiled, probes } = require('./lib/probes');
  const { checked } = require('./lib/request');
  const { LISTENER, bodies, bound } = require('./lib/bounds');

  const check = checkAuth(settings.secret);
  const core = new Core(settings, new Versions(settings.warehouse, engines.named(settings.engine)), {
    checkAuth: check,
    apiSecret: settings.secret, // Cube requires one at its start, but checkAuth does the check
    queryRewrite: limitRows((context) => core.getCompilerApi(context)),
    logger: logger(settings.dev),
  });
  const app = express();
  app.disable('x-powered-by');
  app.use(ownPages(settings));
  const { live, ready } = probes(core, { native: native.kind, cube: Core.version() });
  app.get('/livez', live);
  app.get('/readyz', ready);
  const { measure, show } = metrics(check);
  app.get('/metrics', show);
  app.use(measure);
  if (!settings.dev) app.get('/', (req, res) => res.status(404).json({ error: 'Ask /cubejs-api/v1/...: see docs/cube.md.' }));
  app.use(bodies(settings.dev ? () => {} : check)); // the playground's pages have no token
  app.use(async (req, res, next) => {
    await compiled(core);
    if (core.model.problem) {
      res.set('x-model-error', encodeURI(core.model.problem.replace(/\s+/g, ' ').slice(0, 500).toWellFormed())); // the cut may split a character
    }
    next();
  });
  app.use(checked(settings.rows));
  app.use(withoutSqlApi(check, native.kind === 'addon' ? 'The SQL API is not offered: ask by REST or GraphQL.' : NO_SQL_API));
  await core.initApp(app);
  await compiled(core);

  const server = bound(http.createServer(LISTENER, app));
  await new Promise((done, failed) => { server.once('error', failed).listen(settings.port, '127.0.0.1', done); });
  line('Cube listens', {
    url: `http://127.0.0.1:${settings.port}`, native: native.kind, ...(native.why && { why: native.why }),
    version: Core.version(),
  });
  if (settings.dev) {
    line('Developer mode', {
      warning: 'LOC_CUBE_DEV=1: the playground gives a token to any program of this machine, and writes to cube/model. '
        + 'Only for work on the model; unset it afterwards.',
    });
  }
  const stop = () => {
    server.close();
    server.closeAllConnections();
    // An orderly exit waits for all threads, also for a query that does not obey an interrupt.
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 3000);
    core.shutdown().finally(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

// A failure in a handler of Cube costs one answer, not the server.
process.on('unhandledRejection', (error) => line('A request failed', { error: String(error?.stack || error) }));

main().catch((error) => {
  console.error(`error: Cube cannot start.\nwhy: ${error.message}`);
  process.exit(1);
});
