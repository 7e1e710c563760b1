-- A database as schema 1 has it: a proven relay with its case, a greylisted result. Never edited: later versions must still read it.
PRAGMA application_id=1634361714;
PRAGMA user_version=1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE results(
  id INTEGER PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, host TEXT NOT NULL, owner TEXT NOT NULL, tls TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL,
  because TEXT NOT NULL, change_to TEXT NOT NULL, change_since INTEGER NOT NULL, last_level TEXT NOT NULL,
  last_reason TEXT NOT NULL, last_probe INTEGER NOT NULL, last_conclusive INTEGER, closed_since INTEGER, last_full_matrix INTEGER,
  case_id TEXT NOT NULL, must_ask TEXT NOT NULL, retries TEXT NOT NULL, retries_since INTEGER, due INTEGER NOT NULL);
INSERT INTO results VALUES(1,'mx0','203.0.0.0',25,'tcp','smtp_relay','mx.example.org','mail-team','none','open','message_delivered','what external/plain sent came back to our canary from 203.0.113.9','',0,'open','message_delivered',1767355200000,1767355200000,NULL,NULL,'e8d2da51853f27e6','["external/plain"]','',NULL,1767358800000);
INSERT INTO results VALUES(2,'mx1','203.0.0.1',25,'tcp','smtp_relay','mx.example.org','mail-team','none','unclear','greylisted','it took the message','',0,'unclear','greylisted',1767355200000,NULL,NULL,NULL,'','','[["external/plain","t9","s9"]]',1767355200000,1767355200000);
CREATE TABLE latest(id INTEGER PRIMARY KEY, record TEXT NOT NULL);
INSERT INTO latest VALUES(1,'{"kind":"result","target":"mx0","host":"mx.example.org","address":"203.0.0.0","port":25,"transport":"tcp","tls":"none","check":"smtp_relay","verdict":"open","level":4,"reason":"message_delivered","because":"what external/plain sent came back to our canary from 203.0.113.9","variants":[{"name":"external/plain","verdict":"open","code":250,"reply":"Ok","reason":"message_delivered"}],"exit_addresses":["203.0.113.9"],"observations":["what external/plain sent at 2026-01-02T12:00:00.000Z arrived at 2026-01-02T12:00:00.000Z from 203.0.113.9"],"source_address":null,"started":"2026-01-02T12:00:00.000Z","duration_seconds":0.0,"transcript":["S: 220 mx.example.org ESMTP","C: EHLO probe.example.net"],"probe_id":"00000000000000aa","owner":"mail-team","full_matrix":false,"reached_tls":"none","retries":[]}');
INSERT INTO latest VALUES(2,'{"kind":"result","target":"mx1","host":"mx.example.org","address":"203.0.0.1","port":25,"transport":"tcp","tls":"none","check":"smtp_relay","verdict":"unclear","level":2,"reason":"greylisted","because":"it took the message","variants":[{"name":"external/plain","verdict":"unclear","code":250,"reply":"Ok","reason":"token_pending"}],"exit_addresses":[],"observations":[],"source_address":null,"started":"2026-01-02T12:00:00.000Z","duration_seconds":0.0,"transcript":["S: 220 mx.example.org ESMTP","C: EHLO probe.example.net"],"probe_id":"00000000000000bb","owner":"mail-team","full_matrix":false,"reached_tls":"none","retries":[{"variant":"external/plain","token":"t9","sender_token":"s9"}]}');
CREATE TABLE not_closed(id INTEGER PRIMARY KEY, record TEXT NOT NULL);
INSERT INTO not_closed VALUES(1,'{"kind":"result","target":"mx0","host":"mx.example.org","address":"203.0.0.0","port":25,"transport":"tcp","tls":"none","check":"smtp_relay","verdict":"open","level":4,"reason":"message_delivered","because":"what external/plain sent came back to our canary from 203.0.113.9","variants":[{"name":"external/plain","verdict":"open","code":250,"reply":"Ok","reason":"message_delivered"}],"exit_addresses":["203.0.113.9"],"observations":["what external/plain sent at 2026-01-02T12:00:00.000Z arrived at 2026-01-02T12:00:00.000Z from 203.0.113.9"],"source_address":null,"started":"2026-01-02T12:00:00.000Z","duration_seconds":0.0,"transcript":["S: 220 mx.example.org ESMTP","C: EHLO probe.example.net"],"probe_id":"00000000000000aa","owner":"mail-team","full_matrix":false,"reached_tls":"none","retries":[]}');
INSERT INTO not_closed VALUES(2,'{"kind":"result","target":"mx1","host":"mx.example.org","address":"203.0.0.1","port":25,"transport":"tcp","tls":"none","check":"smtp_relay","verdict":"unclear","level":2,"reason":"greylisted","because":"it took the message","variants":[{"name":"external/plain","verdict":"unclear","code":250,"reply":"Ok","reason":"token_pending"}],"exit_addresses":[],"observations":[],"source_address":null,"started":"2026-01-02T12:00:00.000Z","duration_seconds":0.0,"transcript":["S: 220 mx.example.org ESMTP","C: EHLO probe.example.net"],"probe_id":"00000000000000bb","owner":"mail-team","full_matrix":false,"reached_tls":"none","retries":[{"variant":"external/plain","token":"t9","sender_token":"s9"}]}');
CREATE TABLE cases(
  id TEXT PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, owner TEXT NOT NULL, status TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL,
  first_seen INTEGER NOT NULL, last_confirmed INTEGER NOT NULL, closed INTEGER, how TEXT NOT NULL, reopened INTEGER NOT NULL,
  variants TEXT NOT NULL, exit_addresses TEXT NOT NULL, late TEXT NOT NULL);
INSERT INTO cases VALUES('e8d2da51853f27e6','mx0','203.0.0.0',25,'tcp','smtp_relay','mail-team','open','open','message_delivered',1767355200000,1767355200000,NULL,'',0,'["external/plain"]','["203.0.113.9"]','');
CREATE TABLE tokens(
  token TEXT PRIMARY KEY, target TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL,
  "check" TEXT NOT NULL, probe_id TEXT NOT NULL, variant TEXT NOT NULL, variant_class TEXT NOT NULL, sent INTEGER NOT NULL,
  arrived INTEGER, expired INTEGER NOT NULL, mail INTEGER NOT NULL, judged INTEGER NOT NULL, peer TEXT NOT NULL,
  reason TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO tokens VALUES('t1','mx0','203.0.0.0',25,'tcp','smtp_relay','00000000000000aa','external/plain','external',1767355200000,1767355200000,0,1,1,'203.0.113.9','message_delivered');
CREATE TABLE counts(
  "check" TEXT NOT NULL, owner TEXT NOT NULL, opened INTEGER NOT NULL, reopened INTEGER NOT NULL, fixed INTEGER NOT NULL,
  retired INTEGER NOT NULL, PRIMARY KEY("check", owner)) WITHOUT ROWID;
INSERT INTO counts VALUES('smtp_relay','mail-team',1,0,0,0);
CREATE TABLE cursors(canary TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO cursors VALUES('canary',42);
CREATE TABLE settings(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO settings VALUES('paused',1);
COMMIT;
