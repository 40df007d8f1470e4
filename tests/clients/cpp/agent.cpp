// socket.io-client-cpp; see ../agents/agent.js for what it takes and prints. It has websockets only, and an `auth` that stays.

#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <sio_client.h>

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

namespace {

void write(Writer& out, const sio::message::ptr& value) {
  if (!value) {
    out.Null();
    return;
  }
  switch (value->get_flag()) {
    case sio::message::flag_integer: out.Int64(value->get_int()); break;
    case sio::message::flag_double: out.Double(value->get_double()); break;
    case sio::message::flag_string: out.String(value->get_string().c_str()); break;
    case sio::message::flag_boolean: out.Bool(value->get_bool()); break;
    case sio::message::flag_array:
      out.StartArray();
      for (const auto& item : value->get_vector()) write(out, item);
      out.EndArray();
      break;
    case sio::message::flag_object:
      out.StartObject();
      for (const auto& item : value->get_map()) {
        out.Key(item.first.c_str());
        write(out, item.second);
      }
      out.EndObject();
      break;
    default: out.Null();
  }
}

sio::message::ptr read(const rapidjson::Value& value) {
  if (value.IsBool()) return sio::bool_message::create(value.GetBool());
  if (value.IsInt64()) return sio::int_message::create(value.GetInt64());
  if (value.IsDouble()) return sio::double_message::create(value.GetDouble());
  if (value.IsString()) return sio::string_message::create(std::string(value.GetString()));
  if (value.IsArray()) {
    auto array = sio::array_message::create();
    for (const auto& item : value.GetArray()) array->get_vector().push_back(read(item));
    return array;
  }
  if (value.IsObject()) {
    auto object = sio::object_message::create();
    for (const auto& item : value.GetObject()) object->get_map()[item.name.GetString()] = read(item.value);
    return object;
  }
  return sio::null_message::create();
}

// One line of the output: `key` is `event` or `answer`.
template <typename Put>
void say(const std::string& client, const char* key, Put put, const sio::message::list& args) {
  rapidjson::StringBuffer buffer;
  Writer out(buffer);
  out.StartObject();
  out.Key("client");
  out.String(client.c_str());
  out.Key(key);
  put(out);
  out.Key("args");
  out.StartArray();
  for (size_t at = 0; at < args.size(); at++) write(out, args[at]);
  out.EndArray();
  out.EndObject();
  static std::mutex writing;
  std::lock_guard<std::mutex> lock(writing);
  std::cout << buffer.GetString() << std::endl;
}

void heard(const std::string& client, const std::string& event, const sio::message::list& args = nullptr) {
  say(client, "event", [&](Writer& out) { out.String(event.c_str()); }, args);
}

void start(sio::client& client, const std::string& name, const std::string& url, const sio::message::ptr& auth) {
  client.set_logs_quiet();
  client.set_socket_open_listener([name](const std::string&) { heard(name, "connect"); });
  client.set_socket_close_listener([name](const std::string&) { heard(name, "disconnect"); });
  client.set_fail_listener([name] { heard(name, "connect_error"); });
  // A socket takes its `auth` when it is made: from a client that has been told where to connect.
  client.connect(url, auth);
  for (const char* event : {"inbox_ready", "send_notification", "notification_updated", "sync_required", "session_expiring"}) {
    client.socket()->on(event, sio::socket::event_listener([name, event](sio::event& came) {
      heard(name, event, came.get_messages());
    }));
  }
}

}  // namespace

int main(int, char** arguments) {
  std::map<std::string, std::unique_ptr<sio::client>> clients;
  rapidjson::Document wanted;
  wanted.Parse(arguments[2]);
  for (const auto& one : wanted.GetArray()) {
    const std::string name = one["name"].GetString();
    clients[name].reset(new sio::client());
    start(*clients[name], name, arguments[1], read(one["auth"]));
  }
  for (std::string line; std::getline(std::cin, line);) {
    rapidjson::Document told;
    told.Parse(line.c_str());
    if (!told.HasMember("emit")) continue;
    const std::string name = told["client"].GetString();
    const int64_t id = told["id"].GetInt64();
    sio::message::list args;
    for (const auto& arg : told["args"].GetArray()) args.push(read(arg));
    clients[name]->socket()->emit(told["emit"].GetString(), args, [name, id](const sio::message::list& answer) {
      say(name, "answer", [id](Writer& out) { out.Int64(id); }, answer);
    });
  }
}
