// Sockets of JeroMQ, driven by lines on stdin as peer.py describes them.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.zeromq.ZMQ;

class Driver {
    static final int IDENTITY = 5, SUBSCRIBE = 6, UNSUBSCRIBE = 7;
    static final int CURVE_SERVER = 47, CURVE_PUBLICKEY = 48, CURVE_SECRETKEY = 49, CURVE_SERVERKEY = 50;

    // JeroMQ 0.6 now and then connects and says nothing (docs/clients.md). After so long it tries again.
    static final int SILENT_MILLISECONDS = 3000;

    static final ZMQ.Context context = ZMQ.context(1);
    static final List<ZMQ.Socket> sockets = new ArrayList<>();

    static byte[] octets(String word) {
        return HexFormat.of().parseHex(word.substring(1));
    }

    static void set(ZMQ.Socket socket, int option, byte[] value) {
        switch (option) {
            case IDENTITY -> socket.setIdentity(value);
            case SUBSCRIBE -> socket.subscribe(value);
            case UNSUBSCRIBE -> socket.unsubscribe(value);
            case CURVE_SERVER -> set(socket, "CurveServer", boolean.class, true);
            case CURVE_PUBLICKEY -> set(socket, "CurvePublicKey", byte[].class, value);
            case CURVE_SECRETKEY -> set(socket, "CurveSecretKey", byte[].class, value);
            case CURVE_SERVERKEY -> set(socket, "CurveServerKey", byte[].class, value);
            default -> throw new IllegalArgumentException("no option " + option);
        }
    }

    // Older versions have not all of them.
    static void set(ZMQ.Socket socket, String option, Class<?> type, Object value) {
        try {
            ZMQ.Socket.class.getMethod("set" + option, type).invoke(socket, value);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("no " + option, error);
        }
    }

    static ZMQ.Socket open(int type) {
        ZMQ.Socket socket = context.socket(type);
        try {
            set(socket, "HandshakeIvl", int.class, SILENT_MILLISECONDS);
        } catch (IllegalStateException error) {
            // 0.3 always speaks.
        }
        return socket;
    }

    static String send(ZMQ.Socket socket, int milliseconds, String[] words) {
        socket.setSendTimeOut(milliseconds);
        for (int at = 3; at < words.length; at++) {
            if (!socket.send(octets(words[at]), at + 1 < words.length ? ZMQ.SNDMORE : 0)) return "again";
        }
        return "ok";
    }

    static String receive(ZMQ.Socket socket, int milliseconds) {
        socket.setReceiveTimeOut(milliseconds);
        StringBuilder said = new StringBuilder("ok");
        do {
            byte[] part = socket.recv();
            if (part == null) return "again";
            said.append(" x").append(HexFormat.of().formatHex(part));
        } while (socket.hasReceiveMore());
        return said.toString();
    }

    static String answer(String[] words) {
        if (words[0].equals("open")) {
            sockets.add(open(Integer.parseInt(words[1])));
            return "ok " + (sockets.size() - 1);
        }
        ZMQ.Socket socket = sockets.get(Integer.parseInt(words[1]));
        switch (words[0]) {
            case "set" -> set(socket, Integer.parseInt(words[2]), octets(words[3]));
            case "bind" -> socket.bind(words[2]);
            case "connect" -> socket.connect(words[2]);
            case "send" -> { return send(socket, Integer.parseInt(words[2]), words); }
            case "receive" -> { return receive(socket, Integer.parseInt(words[2])); }
            default -> throw new IllegalArgumentException("no request " + words[0]);
        }
        return "ok";
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = requests.readLine()) != null; ) {
            String said;
            try {
                said = answer(line.split(" "));
            } catch (RuntimeException error) {
                said = "error " + error;
            }
            System.out.println(said);
        }
        Runtime.getRuntime().halt(0); // there is nothing that a socket still has to do
    }
}
