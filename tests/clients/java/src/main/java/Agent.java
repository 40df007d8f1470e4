import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.json.JSONArray;
import org.json.JSONObject;

/**
 * io.socket:socket.io-client; see ../../../../agents/agent.js for what it takes and prints. Its {@code auth} holds texts only:
 * whatever else is in it is left out.
 */
public final class Agent {
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private static final String[] EVENTS = {
    Socket.EVENT_CONNECT, Socket.EVENT_DISCONNECT, Socket.EVENT_CONNECT_ERROR,
    "inbox_ready", "send_notification", "notification_updated", "sync_required", "session_expiring", "register_failed",
  };

  private final String name;
  private final Map<String, String> auth = new ConcurrentHashMap<>();
  private final Socket socket;

  private Agent(String url, JSONObject client) throws Exception {
    name = client.getString("name");
    take(client.getJSONObject("auth"));
    IO.Options options = new IO.Options();
    options.forceNew = true;
    options.auth = auth;
    options.transports = texts(client.getJSONArray("transports"));
    socket = IO.socket(URI.create(url), options);
    for (String event : EVENTS) {
      socket.on(event, args -> say(Map.of("client", name, "event", event), args));
    }
    socket.connect();
  }

  private void take(JSONObject given) throws Exception {
    for (Iterator<?> keys = given.keys(); keys.hasNext();) {
      String key = (String) keys.next();
      if (given.get(key) instanceof String text) {
        auth.put(key, text);
      }
    }
  }

  private void obey(JSONObject told) throws Exception {
    if (told.has("auth")) {
      take(told.getJSONObject("auth"));
      // A client that was refused does not try again by itself.
      if (!socket.isActive()) {
        socket.connect();
      }
      return;
    }
    JSONArray args = told.getJSONArray("args");
    Object[] values = new Object[args.length()];
    for (int at = 0; at < values.length; at++) {
      values[at] = args.get(at);
    }
    Object id = told.get("id");
    socket.emit(told.getString("emit"), values, (Ack) answer -> say(Map.of("client", name, "answer", id), answer));
  }

  private static void say(Map<String, Object> about, Object[] args) {
    List<Object> plain = new ArrayList<>();
    for (Object arg : args) {
      plain.add(arg instanceof Exception failure ? failure.toString() : arg);
    }
    try {
      OUT.println(new JSONObject(new HashMap<>(about)).put("args", new JSONArray(plain)));
    } catch (Exception failure) {
      failure.printStackTrace();
    }
  }

  private static String[] texts(JSONArray array) throws Exception {
    String[] texts = new String[array.length()];
    for (int at = 0; at < texts.length; at++) {
      texts[at] = array.getString(at);
    }
    return texts;
  }

  public static void main(String[] args) throws Exception {
    Map<String, Agent> agents = new HashMap<>();
    JSONArray clients = new JSONArray(args[1]);
    for (int at = 0; at < clients.length(); at++) {
      Agent agent = new Agent(args[0], clients.getJSONObject(at));
      agents.put(agent.name, agent);
    }
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null;) {
      JSONObject told = new JSONObject(line);
      agents.get(told.getString("client")).obey(told);
    }
    System.exit(0);
  }
}
