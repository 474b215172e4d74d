// Relay Messaging Protocol 1.0: every frame, as `relaykit export typescript` writes it.

/** Approval code. Six decimal digits that the new device shows as well, so that the person can compare them. */
export type ApprovalCode = string;

/** Outcome of an approval. What became of a device's request for approval. */
export type ApprovalOutcome = {
  /** The request that was decided. */
  request_id: RequestId;
  /** A sentence for the person at the new device. */
  message: NonEmptyString;
};

/** Attachment. A media object that belongs to a message of the older form. */
export type Attachment = {
  /** The media object. */
  media_id: MediaId;
  /** Its MIME type. */
  content_type: NonEmptyString;
  /** Its size in bytes. */
  size: Count;
  /** Whether the stored object is encrypted. */
  encrypted: boolean;
};

/** Call answer. Accepts a call. */
export type CallAnswerPayload = {
  /** The user who made the offer. */
  target_id: Uuid;
  /** The WebRTC session description, passed on as it is. */
  sdp: NonEmptyString;
};

/** End of a call. Refuses or ends a call, with the reason if there is one to give. */
export type CallEndingPayload = {
  /** The user whom the frame is for: for its sender the other end of the call, for its receiver themselves. */
  target_id: Uuid;
  /** Why, as an open token. */
  reason?: Reason;
};

/** Call offer. Proposes a call, or new terms for the call the two are in. */
export type CallOfferPayload = {
  /** The user who is called. */
  target_id: Uuid;
  /** Whether the call has pictures or sound only. */
  call_type: CallType;
  /** The WebRTC session description, passed on as it is. */
  sdp: NonEmptyString;
};

/** Call type. Whether a call has pictures or sound only. */
export type CallType = "audio" | "video";

/** Conversation ID. `conv-` and a UUID. */
export type ConversationId = string;

/** Count. A whole number, zero or more. */
export type Count = number;

/** Device. One of a user's devices and what it is doing. */
export type Device = {
  /** The device. */
  device_id: Uuid;
  /** What kind of device it is. */
  device_type: DeviceType;
  /** What the device is doing. */
  status: DeviceStatus;
};

/** Device status. What the device is doing. Known: `active`; others are accepted. */
export type DeviceStatus = "active" | (Token & {});

/** Device type. What kind of device it is. Known: `web`; others are accepted. */
export type DeviceType = "web" | (Token & {});

/** Empty payload. An object without any field. Leaving the payload out means the same. */
export type EmptyPayload = Record<string, never>;

/** Error code. What went wrong. The protocol lists its codes; a server may add its own. */
export type ErrorCode = "auth_failed" | "rate_limited" | "invalid_message" | "server_error" | "connection_timeout" | (Token & {});

/** Group ID. `group-` and a UUID. */
export type GroupId = string;

/** ICE candidate. A WebRTC candidate as browsers serialise it. Members that are not listed here are permitted and passed on. */
export type IceCandidate = {
  /** The candidate attribute; empty when there are no more candidates to come. */
  candidate: Text;
  /** Which media section the candidate belongs to, by its name. */
  sdpMid?: Text | null;
  /** Which media section the candidate belongs to, by its place, counted from zero. */
  sdpMLineIndex?: number | null;
  /** Which ICE session the candidate belongs to. */
  usernameFragment?: Text | null;
  [member: string]: unknown;
};

/** ICE candidate of a call. Offers one network path for a call. */
export type IceCandidatePayload = {
  /** The user whom the frame is for: for its sender the other end of the call, for its receiver themselves. */
  target_id: Uuid;
  /** The candidate itself. */
  candidate: IceCandidate;
};

/** IP address. An IPv4 address in dotted decimal form or an IPv6 address, without a zone. */
export type IpAddress = string;

/** Media ID. `media-` and a UUID. */
export type MediaId = string;

/** Media fields together. `media_id` and `media_type` both have a value or neither has. Null means the same as leaving the field out. */
export type MediaTogether = {
  media_id: string;
  media_type: string;
} | {
  media_id?: null;
  media_type?: null;
};

/** Message. An encrypted message to one user or to one group, as it is sent and as it is delivered. */
export type MessagePayload = {
  /** The user the message is for; absent or null when it is for a group. */
  receiver_id?: Uuid | null;
  /** The group the message is for; absent or null when it is for one user. */
  group_id?: GroupId | null;
  /** The encrypted content. Nobody but the recipients can read it. */
  ciphertext: Opaque;
  /** What kind of content the ciphertext holds. */
  message_type: MessageType;
  /** The media object that belongs to the message; given together with `media_type` or not at all. */
  media_id?: MediaId | null;
  /** The kind of the media object, as a MIME type; given together with `media_id` or not at all. */
  media_type?: NonEmptyString | null;
};

/** Message status. How far a message has come. `failed` is reserved: nothing in the protocol brings it about. */
export type MessageStatus = "sent" | "delivered" | "read" | "failed";

/** Message type. What kind of content the ciphertext holds. Known: `text`; others are accepted. */
export type MessageType = "text" | (Token & {});

/** Non-empty string. Any text of at least one character. */
export type NonEmptyString = string;

/** Exactly one recipient. A message goes to a user or to a group: exactly one of `receiver_id` and `group_id` has a value (null is none). */
export type OneRecipient = {
  receiver_id: string;
  group_id?: null;
} | {
  group_id: string;
  receiver_id?: null;
};

/** Opaque value. Encrypted bytes as base64, in the standard or the URL-safe alphabet, padding optional, never empty. Servers pass it on unread, character for character. */
export type Opaque = string;

/** Presence status. How a user wishes to be seen. */
export type PresenceStatus = "online" | "offline" | "away" | "busy";

/** Priority. How urgent the message is. Known: `normal`; others are accepted. */
export type Priority = "normal" | (Token & {});

/** Reason. Why a call did not come about or ended. Known: `no_answer`, `answered_elsewhere` and `rejected_elsewhere`, which servers give; others are accepted. */
export type Reason = "no_answer" | "answered_elsewhere" | "rejected_elsewhere" | (Token & {});

/** Request ID. `req-` and a UUID. */
export type RequestId = string;

/** Synchronisation data. Encrypted data for another device of the same user. */
export type SyncDataPayload = {
  /** The device it is for: another device of the same user. */
  target_device_id: Uuid;
  /** What the device is to know, encrypted for it. */
  encrypted_data: Opaque;
};

/** Synchronisation between devices. Addresses another device of the same user. */
export type SyncPayload = {
  /** The device it is for: another device of the same user. */
  target_device_id: Uuid;
};

/** Text. Any text, the empty one included. */
export type Text = string;

/** Timestamp. RFC 3339 date and time in UTC, with upper-case `T` and `Z` and an optional fraction of a second of any length. */
export type Timestamp = string;

/** Open token. A word of lower-case letters, digits and underscores that begins with a letter. The set is open: whoever meets an unknown word accepts it. */
export type Token = string;

/** UUID. RFC 4122 text form with dashes, of any version, in either case. Two that differ only in case are the same. */
export type Uuid = string;

/** Answer a call. A client sends it. Accepts a call that is ringing. From here on the two devices talk to each other. */
export interface ClientCallAnswer {
  /** Always `call_answer`. */
  type: "call_answer";
  /** Who called, and on what terms the call is accepted. */
  payload: CallAnswerPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Report being busy. A client sends it. Tells a caller that the user is in another call. Servers that keep track of calls say so themselves; a client may as well. */
export interface ClientCallBusy {
  /** Always `call_busy`. */
  type: "call_busy";
  /** Who called, and why the user is busy. */
  payload: CallEndingPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** End a call. A client sends it. Ends a call, or takes back one that is still ringing. Both users are free again. */
export interface ClientCallEnd {
  /** Always `call_end`. */
  type: "call_end";
  /** Who is at the other end, and why the call ends. */
  payload: CallEndingPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Offer a call. A client sends it. Calls another user. It rings on all devices of that user until one of them answers or refuses, until the caller ends it, or until the server gives up. Between users who are in a call already it proposes new terms. */
export interface ClientCallOffer {
  /** Always `call_offer`. */
  type: "call_offer";
  /** Whom to call, and on what terms. */
  payload: CallOfferPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Refuse a call. A client sends it. Refuses a call that is ringing. Both users are free again. */
export interface ClientCallReject {
  /** Always `call_reject`. */
  type: "call_reject";
  /** Who called, and why the call is refused. */
  payload: CallEndingPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Acknowledge delivery. A client sends it. Tells the server that this device has the message named by `message_id`; the server will not deliver it to this device again. The first acknowledgment from any device of the recipient lets the sender know with `status_update`. An acknowledgment from anybody but a recipient changes nothing. */
export interface ClientDeliveryAck {
  /** Always `delivery_ack`. */
  type: "delivery_ack";
  /** Nothing to say: absent or an empty object. */
  payload?: EmptyPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Heartbeat. A client sends it. Shows the server that the client is alive and asks for a sign of life in return. Any frame keeps a connection open; this one is for times when there is nothing else to say. */
export interface ClientHeartbeat {
  /** Always `heartbeat`. */
  type: "heartbeat";
  /** Nothing to say: absent or an empty object. */
  payload?: EmptyPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Offer an ICE candidate. A client sends it. Offers the other side of a call one network path to try. Either side sends as many as it finds. */
export interface ClientIceCandidate {
  /** Always `ice_candidate`. */
  type: "ice_candidate";
  /** Whom the candidate is for, and the candidate. */
  payload: IceCandidatePayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Share a media key. A client sends it. Gives another user the key of an encrypted media object, itself encrypted for that user. The server passes it on without reading it. */
export interface ClientMediaKey {
  /** Always `media_key`. */
  type: "media_key";
  /** The key, what it opens, and whom it is for. */
  payload: {
    /** The media object that the key opens, as named in a message. */
    media_id: MediaId;
    /** The user the key is for. */
    recipient_id: Uuid;
    /** The key, encrypted with the recipient's public key. */
    encrypted_key: Opaque;
    /** The algorithm that the media object is encrypted with. */
    algorithm: NonEmptyString;
    /** When, by the client's clock; the server puts its own time here. */
    timestamp?: Timestamp;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/**
 * Send a message (older form). A client sends it. The older form of `send`, for one user only. The server gives the message its `message_id`. Only servers with the capability `legacy_frames` take it.
 * @deprecated It cannot address a group, and repeating it is not safe, since the client does not choose the message_id.
 */
export interface ClientMessage {
  /** Always `message`. */
  type: "message";
  /** The message and whom it is for. */
  payload: {
    /** The user the message is for. */
    recipient_id: Uuid;
    /** The encrypted content. Nobody but the recipient can read it. */
    encrypted_content: Opaque;
    /** What kind of content it is. */
    message_type: MessageType;
    /** When, by the client's clock; the server keeps its own time. */
    timestamp?: Timestamp;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Answer to a ping. A client sends it. Answers the server's `ping`. The server takes it in silence. */
export interface ClientPong {
  /** Always `pong`. */
  type: "pong";
  /** Nothing to say: absent or an empty object. */
  payload?: EmptyPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Set one's presence. A client sends it. Says how the user wishes to be seen. The server passes it to the user's contacts; it holds for the user, not for one device, and ends with the user's last connection. */
export interface ClientPresence {
  /** Always `presence`. */
  type: "presence";
  /** The wished presence. */
  payload: {
    /** How the user wishes to be seen. */
    status: PresenceStatus;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Mark messages as read. A client sends it. Tells the server that the person has read one or more messages. Each sender hears of it once with `status_update`. A receipt also counts as this device's acknowledgment of delivery. */
export interface ClientReadReceipt {
  /** Always `read_receipt`. */
  type: "read_receipt";
  /** The messages that were read. */
  payload: {
    /** The messages that were read, each named once. (Two UUIDs that differ only in case name the same message; a schema cannot see that.) */
    message_ids: Array<Uuid>;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Send a message. A client sends it. Hands the server an encrypted message for one user or for one group. The client chooses the `message_id`; sending the same one again is safe: the message is acknowledged again and delivered once. The server stores the message, acknowledges it with `sent_ack`, and delivers it to every device of each recipient. */
export interface ClientSend {
  /** Always `send`. */
  type: "send";
  /** The message and whom it is for. */
  payload: MessagePayload & OneRecipient & MediaTogether;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Acknowledge shared state. A client sends it. Tells another device of the same user that its data has arrived. */
export interface ClientSyncAck {
  /** Always `sync_ack`. */
  type: "sync_ack";
  /** Whose data has arrived. */
  payload: SyncPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Share state with a device. A client sends it. Carries encrypted data to another device of the same user. The server passes it on without reading it. */
export interface ClientSyncData {
  /** Always `sync_data`. */
  type: "sync_data";
  /** Which device it is for, and the data. */
  payload: SyncDataPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Ask a device for its state. A client sends it. Asks another device of the same user to share what it knows. Nobody else's device can be addressed. */
export interface ClientSyncRequest {
  /** Always `sync_request`. */
  type: "sync_request";
  /** Which device is asked. */
  payload: SyncPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Typing indicator. A client sends it. Says that the user has begun or stopped writing in a conversation. The server passes it to the other members' devices, with the true user and its own time in place of what the client claimed. */
export interface ClientTyping {
  /** Always `typing`. */
  type: "typing";
  /** Where, and whether writing has begun or stopped. */
  payload: {
    /** The conversation in which the user is writing. */
    conversation_id: ConversationId;
    /** True when writing begins or goes on, false when it stops. */
    is_typing: boolean;
    /** Who is writing, as the client claims; the server puts the authenticated user here. */
    user_id?: Uuid;
    /** When, by the client's clock; the server puts its own time here. */
    timestamp?: Timestamp;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
}

/** Call answered. A server sends it. Tells the caller that the call is accepted. The envelope says by whom. */
export interface ServerCallAnswer {
  /** Always `call_answer`. */
  type: "call_answer";
  /** Who called, and on what terms the call is accepted. */
  payload: CallAnswerPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** User is busy. A server sends it. Tells a caller that the user they called is in another call. The server makes the frame itself, or passes on one that a client sent. */
export interface ServerCallBusy {
  /** Always `call_busy`. */
  type: "call_busy";
  /** Who is meant, and why. */
  payload: {
    /** In a frame made by the server, the user who is busy; in one passed on, the user it was sent to, as the client wrote it. */
    target_id: Uuid;
    /** Why, as an open token. */
    reason?: Reason;
  };
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Call ended. A server sends it. Tells a device that a call is over: the other side ended it or vanished, nobody answered in time, or another device of the user took the call. When the server makes the frame, the sender is the absent user, or the caller where another device answered or refused. */
export interface ServerCallEnd {
  /** Always `call_end`. */
  type: "call_end";
  /** Who was at the other end, and why the call ended. */
  payload: CallEndingPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Incoming call. A server sends it. Brings a call to all devices of the user who is called, or new terms for the call the two are in. The envelope says who calls. */
export interface ServerCallOffer {
  /** Always `call_offer`. */
  type: "call_offer";
  /** Who is called, and on what terms. */
  payload: CallOfferPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Call refused. A server sends it. Tells the caller that the call is refused. The envelope says by whom. */
export interface ServerCallReject {
  /** Always `call_reject`. */
  type: "call_reject";
  /** Who called, and why the call is refused. */
  payload: CallEndingPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Deliver a message. A server sends it. Brings an encrypted message to a device of its recipient. It comes again after each reconnection until the device has answered with `delivery_ack`. */
export interface ServerDeliver {
  /** Always `deliver`. */
  type: "deliver";
  /** The message as its sender gave it. */
  payload: MessagePayload & OneRecipient & MediaTogether;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Device asks for approval. A server sends it. Asks the user's primary device to approve a new one. If the primary device is away, the request waits until it returns or the request expires. */
export interface ServerDeviceApprovalRequest {
  /** Always `device_approval_request`. */
  type: "device_approval_request";
  /** The request, and what is known of the new device. */
  payload: {
    /** Names the request; the outcome names it again. */
    request_id: RequestId;
    /** What the new device calls itself. */
    device_name: NonEmptyString;
    /** What kind of device it is. */
    device_type: DeviceType;
    /** The code that the new device shows as well. */
    code: ApprovalCode;
    /** When the request lapses, which counts as a refusal. */
    expires_at: Timestamp;
    /** Where the request came from. */
    ip_address?: IpAddress;
    /** The software that made the request, as it calls itself. */
    user_agent?: Text;
    /** A guess at the place the request came from. */
    location?: Text;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Device approved. A server sends it. Tells a new device that the primary device has approved it. It comes once, at the next connection if the device was away. */
export interface ServerDeviceApproved {
  /** Always `device_approved`. */
  type: "device_approved";
  /** The request and its outcome. */
  payload: ApprovalOutcome;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Device refused. A server sends it. Tells a new device that it was refused, or that nobody decided in time. It comes once, at the next connection if the device was away. */
export interface ServerDeviceDenied {
  /** Always `device_denied`. */
  type: "device_denied";
  /** The request and its outcome. */
  payload: ApprovalOutcome;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Error. A server sends it. Tells the client that something went wrong: a frame that was refused, a limit that was exceeded, or the end of the connection. Where one frame is to blame, the envelope's `message_id` names it if it had one. */
export interface ServerError {
  /** Always `error`. */
  type: "error";
  /** What went wrong, and what the client can do. */
  payload: {
    /** What went wrong, for programs. */
    error_code: ErrorCode;
    /** What went wrong, for people. */
    message: NonEmptyString;
    /** When, by the server's clock. */
    timestamp: Timestamp;
    /** Whether connecting again makes sense, should the connection end. */
    reconnect: boolean;
    /** Seconds to wait before trying again. Required with `rate_limited`. */
    retry_after?: Count;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Deliver a group message. A server sends it. Brings an encrypted message of a group to a device of one of its members. A server uses this or `deliver` with a `group_id`, never both for one message. */
export interface ServerGroupMessage {
  /** Always `group_message`. */
  type: "group_message";
  /** The message, its group and its sender. */
  payload: ({
    /** The message, by the name its sender gave it. */
    message_id: Uuid;
    /** The group it was sent to. */
    group_id: GroupId;
    /** The member who sent it. */
    sender_id: Uuid;
    /** The encrypted content. Nobody but the members can read it. */
    encrypted_content: Opaque;
    /** When the server took the message. */
    timestamp: Timestamp;
    /** What kind of content it is. */
    message_type: MessageType;
    /** The media object that belongs to the message; given together with `media_type` or not at all. */
    media_id?: MediaId | null;
    /** The kind of the media object, as a MIME type; given together with `media_id` or not at all. */
    media_type?: NonEmptyString | null;
  }) & MediaTogether;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Heartbeat acknowledged. A server sends it. Answers a `heartbeat`, on the connection it came from. It has no payload. */
export interface ServerHeartbeatAck {
  /** Always `heartbeat_ack`. */
  type: "heartbeat_ack";
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** ICE candidate. A server sends it. Brings one network path to try from the other side of a call. */
export interface ServerIceCandidate {
  /** Always `ice_candidate`. */
  type: "ice_candidate";
  /** Whom the candidate is for, and the candidate. */
  payload: IceCandidatePayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Media key. A server sends it. Brings the key of an encrypted media object from another user, encrypted for the recipient. The envelope says who sent it. */
export interface ServerMediaKey {
  /** Always `media_key`. */
  type: "media_key";
  /** The key, what it opens, and whom it is for. */
  payload: {
    /** The media object that the key opens, as named in a message. */
    media_id: MediaId;
    /** The user the key is for. */
    recipient_id: Uuid;
    /** The key, encrypted with the recipient's public key. */
    encrypted_key: Opaque;
    /** The algorithm that the media object is encrypted with. */
    algorithm: NonEmptyString;
    /** When, by the server's clock. */
    timestamp: Timestamp;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/**
 * Deliver a message (older form). A server sends it. The older form of `deliver`. Only servers with the capability `legacy_frames` send it, and only on connections that get the older forms.
 * @deprecated Only connections that ask for the older forms get it, in place of deliver.
 */
export interface ServerMessage {
  /** Always `message`. */
  type: "message";
  /** The message, its sender and its conversation. */
  payload: {
    /** The message, by the name its sender or the server gave it. */
    message_id: Uuid;
    /** Who sent it. */
    sender_id: Uuid;
    /** The conversation it belongs to. */
    conversation_id: ConversationId;
    /** The encrypted content. Nobody but the recipient can read it. */
    encrypted_content: Opaque;
    /** When the server took the message. */
    timestamp: Timestamp;
    /** What kind of content it is. */
    message_type: MessageType;
    /** What else is known of the message. Any member is permitted; the two below are described. */
    metadata?: {
      /** The MIME type of the content once decrypted. */
      content_type?: NonEmptyString;
      /** How urgent the message is. */
      priority?: Priority;
      [member: string]: unknown;
    };
    /** The media objects that belong to the message. */
    attachments?: Array<Attachment>;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/**
 * Message status changed (older form). A server sends it. The older form of `status_update`. Only servers with the capability `legacy_frames` send it, and only on connections that get the older forms.
 * @deprecated Only connections that ask for the older forms get it, in place of status_update.
 */
export interface ServerMessageStatus {
  /** Always `message_status`. */
  type: "message_status";
  /** The message, the status reached, and by whom. */
  payload: {
    /** The message that the status is about. */
    message_id: Uuid;
    /** How far the message has come. */
    status: MessageStatus;
    /** When it came so far, by the server's clock. */
    timestamp: Timestamp;
    /** Whose device has the message or who has read it. */
    recipient_id: Uuid;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Ping. A server sends it. Asks a client that has been silent for a while whether it is still there. The client answers with `pong`. A server may use the ping of the WebSocket protocol instead. */
export interface ServerPing {
  /** Always `ping`. */
  type: "ping";
  /** Nothing to say: absent or an empty object. */
  payload?: EmptyPayload;
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Presence changed. A server sends it. Tells a user's contacts how the user wishes to be seen. */
export interface ServerPresence {
  /** Always `presence`. */
  type: "presence";
  /** Whose presence it is, and what it is. */
  payload: {
    /** Whose presence it is. */
    user_id: Uuid;
    /** How the user wishes to be seen. */
    status: PresenceStatus;
    /** When the user was last connected. */
    last_seen?: Timestamp;
    /** The user's devices, as far as the server tells. */
    devices?: Array<Device>;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Message stored. A server sends it. Tells the connection that sent a message that the server has stored it for delivery. From then on the message is not lost, not even by a crash. */
export interface ServerSentAck {
  /** Always `sent_ack`. */
  type: "sent_ack";
  /** The status reached. */
  payload: {
    /** Always `sent`. */
    status: "sent";
  };
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Message status changed. A server sends it. Tells the sender's devices that a message has been delivered or read: once for each, however many devices the recipient has. */
export interface ServerStatusUpdate {
  /** Always `status_update`. */
  type: "status_update";
  /** The status reached, and by whom. */
  payload: {
    /** How far the message has come. */
    status: MessageStatus;
    /** Whose device has the message or who has read it; of use in groups. */
    recipient_id?: Uuid;
  };
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Shared state has arrived. A server sends it. Tells a device that another device of the same user has its data. */
export interface ServerSyncAck {
  /** Always `sync_ack`. */
  type: "sync_ack";
  /** Whose data has arrived. */
  payload: SyncPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** State from a device. A server sends it. Brings encrypted data from another device of the same user. */
export interface ServerSyncData {
  /** Always `sync_data`. */
  type: "sync_data";
  /** Which device it is for, and the data. */
  payload: SyncDataPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Device asks for state. A server sends it. Tells a device that another device of the same user asks for what it knows. The envelope says which. */
export interface ServerSyncRequest {
  /** Always `sync_request`. */
  type: "sync_request";
  /** Which device is asked. */
  payload: SyncPayload;
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** Typing indicator. A server sends it. Tells the other members of a conversation that somebody has begun or stopped writing in it. */
export interface ServerTyping {
  /** Always `typing`. */
  type: "typing";
  /** Who is writing, where, and when. */
  payload: {
    /** The conversation in which the user is writing. */
    conversation_id: ConversationId;
    /** Who is writing. */
    user_id: Uuid;
    /** True when writing begins or goes on, false when it stops. */
    is_typing: boolean;
    /** When, by the server's clock. */
    timestamp: Timestamp;
  };
  /** When the frame was made. */
  timestamp?: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id?: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id?: NonEmptyString;
}

/** User went offline. A server sends it. Tells a user's contacts that the user's last device has disconnected. */
export interface ServerUserOffline {
  /** Always `user_offline`. */
  type: "user_offline";
  /** Who went offline, and when. */
  payload: {
    /** Who went offline. */
    user_id: Uuid;
    /** When the user was last connected. */
    last_seen?: Timestamp;
  };
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id: NonEmptyString;
}

/** User came online. A server sends it. Tells a user's contacts that the user's first device has connected. Further devices of the same user make no further notice. */
export interface ServerUserOnline {
  /** Always `user_online`. */
  type: "user_online";
  /** Who came online. */
  payload: {
    /** Who came online. */
    user_id: Uuid;
  };
  /** When the frame was made. */
  timestamp: Timestamp;
  /** The message that the frame carries or speaks of; on an `error`, the frame that was refused. */
  message_id?: Uuid;
  /** The user the frame comes from. */
  sender_id: Uuid;
  /** The device of the sender that the frame comes from. */
  device_id?: Uuid;
  /** The server instance that made the frame. Clients never send it. */
  server_id: NonEmptyString;
}

/** By type: the frames that a client sends. */
export interface ClientFrames {
  "call_answer": ClientCallAnswer;
  "call_busy": ClientCallBusy;
  "call_end": ClientCallEnd;
  "call_offer": ClientCallOffer;
  "call_reject": ClientCallReject;
  "delivery_ack": ClientDeliveryAck;
  "heartbeat": ClientHeartbeat;
  "ice_candidate": ClientIceCandidate;
  "media_key": ClientMediaKey;
  "message": ClientMessage;
  "pong": ClientPong;
  "presence": ClientPresence;
  "read_receipt": ClientReadReceipt;
  "send": ClientSend;
  "sync_ack": ClientSyncAck;
  "sync_data": ClientSyncData;
  "sync_request": ClientSyncRequest;
  "typing": ClientTyping;
}

/** Any frame that a client sends; its `type` tells which. */
export type ClientFrame = ClientFrames[keyof ClientFrames];

/** By type: the frames that a server sends. */
export interface ServerFrames {
  "call_answer": ServerCallAnswer;
  "call_busy": ServerCallBusy;
  "call_end": ServerCallEnd;
  "call_offer": ServerCallOffer;
  "call_reject": ServerCallReject;
  "deliver": ServerDeliver;
  "device_approval_request": ServerDeviceApprovalRequest;
  "device_approved": ServerDeviceApproved;
  "device_denied": ServerDeviceDenied;
  "error": ServerError;
  "group_message": ServerGroupMessage;
  "heartbeat_ack": ServerHeartbeatAck;
  "ice_candidate": ServerIceCandidate;
  "media_key": ServerMediaKey;
  "message": ServerMessage;
  "message_status": ServerMessageStatus;
  "ping": ServerPing;
  "presence": ServerPresence;
  "sent_ack": ServerSentAck;
  "status_update": ServerStatusUpdate;
  "sync_ack": ServerSyncAck;
  "sync_data": ServerSyncData;
  "sync_request": ServerSyncRequest;
  "typing": ServerTyping;
  "user_offline": ServerUserOffline;
  "user_online": ServerUserOnline;
}

/** Any frame that a server sends; its `type` tells which. */
export type ServerFrame = ServerFrames[keyof ServerFrames];
