'use strict';
/** Cube, over the published version of `prod`: REST and GraphQL on 127.0.0.1. Started by `./loc exec cube`. */
const http = require('http');
const { line, logger } = require('./lib/log');

async function main() {
  const settings = require('./lib/settings').read();
  const native = require('./lib/native').choose(settings.native); // before anything else of Cube's is loaded
  const express = require('express');
  const { Core } = require('./lib/core');
  const { Versions } = require('./lib/versions');
  const { checkAuth, limitRows, withoutSqlApi } = require('./lib/auth');
  const { ownPages } = require('./lib/web');
  const { probes } = require('./lib/probes');
  const { readable } = require('./lib/request');

  const core = new Core(settings, new Versions(settings.warehouse), {
    checkAuth: checkAuth(settings.secret),
    apiSecret: settings.secret, // asked for at each start; what is checked is checkAuth
    queryRewrite: limitRows((context) => core.getCompilerApi(context)),
    logger: logger(settings.dev),
  });
  const app = express();
  app.disable('x-powered-by');
  app.use(ownPages(settings));
  const { live, ready } = probes(core, native.kind);
  app.get('/livez', live);
  app.get('/readyz', ready);
  if (!settings.dev) app.get('/', (req, res) => res.status(404).json({ error: 'Ask /cubejs-api/v1/...: see docs/cube.md.' }));
  app.use((req, res, next) => {
    if (core.model?.problem) res.set('x-model-error', encodeURI(core.model.problem.replace(/\s+/g, ' ').slice(0, 500)));
    next();
  });
  app.use(readable(settings));
  app.use('/cubejs-api/v1/cubesql', withoutSqlApi(settings.secret));
  await core.initApp(app);
  await core.getCompilerApi({}).then((api) => api.getCompilers()).catch(() => {}); // it is in the log and in /readyz

  const server = http.createServer(app);
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
    // A query that no interrupt reaches would hold up an exit in order as well: it waits for all threads.
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 3000);
    core.shutdown().finally(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((error) => {
  console.error(`error: Cube cannot start.\nwhy: ${error.message}`);
  process.exit(1);
});
