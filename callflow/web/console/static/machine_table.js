// The states of a call, and [from, to, on which events] of each change. Made by `python -m callflow.cli.diagram`.
export const STATES = ["ringing", "answered", "streaming", "recovering", "transferring", "bridged", "hangup"];
export const EDGES = [
  ["ringing", "hangup", ["answered_by_fax", "answered_by_machine", "message_deadline", "stream_failed", "media_refused", "call_refused", "not_ours", "dial_failed", "queue_deadline", "dial_deadline", "call_recovered", "engine_lost", "engine_deadline", "goodbye_requested", "ring_deadline", "hangup_requested", "answer_failed", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["answered", "hangup", ["answered_by_fax", "answered_by_machine", "message_deadline", "engine_lost", "engine_deadline", "media_lost", "grace_deadline", "stream_deadline", "restream_deadline", "stream_failed", "media_refused", "not_ours", "call_recovered", "last_words_deadline", "clip_played", "speak_ended", "speak_failed", "farewell_deadline", "hangup_requested", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["streaming", "hangup", ["answered_by_fax", "answered_by_machine", "message_left", "message_deadline", "call_resumed", "call_recovered", "engine_lost", "engine_deadline", "media_lost", "grace_deadline", "stream_deadline", "restream_deadline", "stream_failed", "media_refused", "not_ours", "goodbye_heard", "last_words_deadline", "clip_played", "speak_ended", "speak_failed", "farewell_deadline", "hangup_requested", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "refer_gone", "call_refer_completed", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["recovering", "hangup", ["answered_by_fax", "answered_by_machine", "message_deadline", "call_resumed", "engine_lost", "engine_deadline", "media_lost", "grace_deadline", "stream_deadline", "restream_deadline", "stream_failed", "media_refused", "not_ours", "call_recovered", "last_words_deadline", "clip_played", "speak_ended", "speak_failed", "farewell_deadline", "hangup_requested", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "refer_gone", "call_refer_completed", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["ringing", "answered", ["call_answered", "call_resumed", "call_recovered", "stream_failed", "media_refused"]],
  ["ringing", "streaming", ["media_started"]],
  ["answered", "streaming", ["media_started"]],
  ["recovering", "streaming", ["media_started", "engine_ready"]],
  ["ringing", "bridged", ["call_answered", "call_resumed", "call_recovered"]],
  ["bridged", "hangup", ["answered_by_machine", "answered_by_fax", "call_initiated", "lead_to_sip_failed", "lead_to_sip_gone", "not_ours", "call_recovered", "hangup_requested", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "join_gone", "transfer_gone", "human_gone", "call_resumed", "bridged_deadline", "goodbye_requested", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["answered", "transferring", ["clip_played", "speak_ended", "speak_failed", "farewell_deadline"]],
  ["streaming", "transferring", ["clip_played", "speak_ended", "speak_failed", "farewell_deadline", "transfer_requested", "refer_done", "human_accepted"]],
  ["recovering", "transferring", ["clip_played", "speak_ended", "speak_failed", "farewell_deadline", "refer_done", "human_accepted"]],
  ["transferring", "recovering", ["human_gone", "call_resumed", "transfer_failed", "find_person_failed", "join_deadline", "call_refer_failed", "join_failed", "transfer_deadline", "call_recovered"]],
  ["transferring", "hangup", ["not_ours", "call_recovered", "hangup_requested", "answer_gone", "stream_gone", "speak_gone", "call_hangup", "call_refer_completed", "join_gone", "transfer_gone", "call_resumed", "goodbye_requested", "announce_gone", "send_dtmf_gone", "suppress_noise_gone"]],
  ["streaming", "recovering", ["grace_deadline", "call_resumed", "call_recovered", "engine_lost", "call_refer_failed", "mute_requested"]],
  ["streaming", "answered", ["media_refused"]],
  ["recovering", "answered", ["media_refused"]],
  ["transferring", "bridged", ["human_joined", "join_done", "find_person_done"]],
  ["bridged", "recovering", ["human_gone", "call_resumed", "call_recovered"]],
];
