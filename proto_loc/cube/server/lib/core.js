'use strict';
/** Cube's server core with one orchestrator (driver, queue, cache) per published version. */
const { CubejsServerCore } = require('@cubejs-backend/server-core');
const { CubejsHandlerError } = require('@cubejs-backend/api-gateway');
const { VersionCache } = require('./cache');
const { LastGoodModel, repository } = require('./model');

const NO_DATA = 'no data yet; run loc refresh';

class Core extends CubejsServerCore {
  /**
   * @param {import('./settings').Settings} settings
   * @param {import('./versions').Versions} versions
   * @param {object} options Cube's.
   */
  constructor(settings, versions, options) {
    super({
      telemetry: false,
      scheduledRefreshTimer: false,
      repositoryFactory: () => repository(settings.model),
      cacheAndQueueDriver: 'memory',
      externalDbType: undefined, // developer mode would start Cube Store
      externalDriverFactory: undefined,
      driverFactory: (context) => new versions.engine.Driver(context.version, settings),
      dialectFactory: () => versions.engine.Driver.dialectClass(),
      extendContext: () => {
        try {
          return { version: versions.current() };
        } catch (error) {
          throw new CubejsHandlerError(503, 'No data', `The published version cannot be read: ${error.message}`);
        }
      },
      contextToOrchestratorId: (context) => context.version.key,
      orchestratorOptions: {
        continueWaitTimeout: Math.ceil(Math.min(90, settings.timeout + 5)), // then a waiting query gets "Continue wait"
        queryCacheOptions: { queueOptions: { concurrency: 4, executionTimeout: Math.ceil(settings.timeout + 60) } },
      },
      ...options,
    }, { isCubeConfigEmpty: false });
    this.settings = settings;
    this.versions = versions;
    /** @type {Map<string, NodeJS.Timeout>} Timers of superseded versions, by key, until their grace time is over. */
    this.retiring = new Map();
    this.watch = setInterval(() => this.retire(), 1000).unref();
  }

  /**
   * Get the orchestrator of the version with which the request began. If that version was pruned before it was opened, the
   * newest version takes its place.
   */
  async getOrchestratorApi(context) {
    if (context.version === undefined) context.version = this.versions.current();
    for (;;) {
      const { version } = context;
      if (!version || version.empty) throw new CubejsHandlerError(503, 'No data', NO_DATA);
      const api = await super.getOrchestratorApi(context);
      try {
        await api.driverFactory('default'); // opens the file, once
        return api;
      } catch (error) {
        this.orchestratorStorage.storage.delete(version.key);
        context.version = this.versions.current();
        if (context.version?.key === version.key) throw this.explained(error);
      }
    }
  }

  createOrchestratorApi(...given) {
    const api = super.createOrchestratorApi(...given);
    api.addDataSeenSource('default'); // otherwise its driver is not released
    const execute = api.executeQuery.bind(api);
    api.executeQuery = (query) => execute(query).catch((error) => { throw this.explained(error); });
    const cache = api.getQueryOrchestrator().getQueryCache();
    cache.cacheDriver = new VersionCache(this.settings.cacheBytes);
    return api;
  }

  /** The error with status 503 if the engine does not work; other errors stay as they are. */
  explained(error) {
    const [, why] = this.versions.engine.down?.exec(error?.error || error?.message) || [];
    return why ? new CubejsHandlerError(503, 'No data', why) : error;
  }

  createCompilerApi(files, options = {}) {
    this.model ||= new LastGoodModel(
      files, options.dbType || this.options.dbType, this.createCompilerApiOptions(options), this.settings.model,
    );
    return this.model;
  }

  /** Start the grace time of every superseded version, and cancel it for a version that is current again. */
  retire() {
    let current;
    try {
      current = this.versions.current()?.key;
    } catch (error) {
      this.logger('The current version cannot be read', { error: String(error) });
      return;
    }
    const { storage } = this.orchestratorStorage;
    for (const key of storage.keys()) {
      if (key !== current && !this.retiring.has(key)) {
        this.retiring.set(key, setTimeout(() => {
          this.retiring.delete(key);
          storage.delete(key); // releases the driver, once its queries have ended
        }, this.settings.grace * 1000).unref());
      }
    }
    if (this.retiring.has(current)) {
      clearTimeout(this.retiring.get(current));
      this.retiring.delete(current);
    }
  }
}

module.exports = { Core, NO_DATA };
