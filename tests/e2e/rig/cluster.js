import { Mongo } from './mongo.js';
import { Proxy } from './proxy.js';
import { Redis } from './redis.js';
import { Server } from './server.js';
import { until } from './until.js';
import { Unruly } from './unruly.js';

/** Several nodes at one MongoDB and one Redis. */
export class Cluster {
  /** `random`: the news between them is lost, doubled and reordered by it, until `calmDown`. */
  static async start(t, count, { env = {}, random } = {}) {
    const cluster = new Cluster();
    [cluster.mongo, cluster.redis] = await Promise.all([Mongo.start(t), Redis.start(t)]);
    cluster.unruly = [];
    const database = cluster.mongo.uri();
    cluster.nodes = await Promise.all(Array.from({ length: count }, async () => {
      let url = cluster.redis.url;
      if (random) {
        const unruly = new Unruly(random);
        cluster.unruly.push(unruly);
        url = (await Proxy.start(t, cluster.redis.port, unruly.stream)).url.replace('http', 'redis');
      }
      return Server.start(t, { env: { MONGODB_URI: database, REDIS_URL: url, ...env } });
    }));
    await cluster.connected(1);
    return cluster;
  }

  /** Waits until each node has said so many times that it has Redis. */
  connected(times) {
    return until('the nodes hear each other', () => this.nodes.every(({ log }) => log.split('Redis is connected').length > times));
  }

  calmDown() {
    this.unruly.forEach((unruly) => unruly.calmDown());
  }

  /** A client's list of URLs: the first is that of node `index`, and each time it is asked again it gives the next one. */
  from(index) {
    const { nodes } = this;
    let next = index;
    return {
      get url() {
        return nodes[next++ % nodes.length].url;
      },
    };
  }
}
