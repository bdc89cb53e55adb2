-- Times are milliseconds since 1970. Lists and records are JSON. No column is ever given another meaning.

CREATE TABLE message ( -- the ledger: one row for each message
  id         TEXT PRIMARY KEY,
  at         BIGINT NOT NULL,
  node       TEXT NOT NULL,
  tenant     TEXT NOT NULL,
  domain     TEXT NOT NULL,
  peer       TEXT NOT NULL, -- address of who connected
  origin     TEXT NOT NULL, -- address of who sent it first
  mail_from  TEXT NOT NULL,
  author     TEXT NOT NULL, -- From
  subject    TEXT NOT NULL,
  message_id TEXT NOT NULL, -- Message-ID
  recipients TEXT NOT NULL,
  size       BIGINT NOT NULL,
  class      TEXT NOT NULL,
  action     TEXT NOT NULL,
  reply      TEXT NOT NULL, -- to the sender
  hop        TEXT NOT NULL, -- what the next hop said
  held       TEXT NOT NULL, -- id in held, or empty
  queued     INTEGER NOT NULL,
  judged_ms  BIGINT NOT NULL,
  hop_ms     BIGINT NOT NULL,
  took_ms    BIGINT NOT NULL,
  report     TEXT NOT NULL
);
CREATE INDEX message_at ON message (at);
CREATE INDEX message_domain_at ON message (domain, at);
CREATE INDEX message_message_id ON message (message_id);

CREATE TABLE message_event ( -- what became of it later: released, delivered from the queue, taken back
  message TEXT NOT NULL,
  at      BIGINT NOT NULL,
  what    TEXT NOT NULL,
  who     TEXT NOT NULL,
  detail  TEXT NOT NULL
);
CREATE INDEX message_event_message ON message_event (message);
CREATE INDEX message_event_at ON message_event (at);

CREATE TABLE held ( -- the quarantine
  id         TEXT PRIMARY KEY,
  at         BIGINT NOT NULL,
  expires    BIGINT NOT NULL,
  tenant     TEXT NOT NULL,
  domain     TEXT NOT NULL,
  mail_from  TEXT NOT NULL,
  author     TEXT NOT NULL,
  subject    TEXT NOT NULL,
  message_id TEXT NOT NULL,
  size       BIGINT NOT NULL,
  class      TEXT NOT NULL,
  envelope   TEXT NOT NULL,
  client     TEXT NOT NULL, -- peer, origin, authentication
  report     TEXT NOT NULL,
  body       TEXT NOT NULL, -- empty when deleted
  state      TEXT NOT NULL  -- held, released (to all), deleted
);
CREATE INDEX held_size ON held (state, size); -- the quota reads nothing but this
CREATE INDEX held_at ON held (state, at);
CREATE INDEX held_domain_at ON held (domain, state, at);
CREATE INDEX held_expires ON held (state, expires);

CREATE TABLE held_recipient (
  held    TEXT NOT NULL,
  n       INTEGER NOT NULL, -- place in the envelope
  address TEXT NOT NULL,    -- in lower case
  state   TEXT NOT NULL,    -- held, releasing, released, uncertain
  at      BIGINT NOT NULL,  -- of the last change
  detail  TEXT NOT NULL,    -- what the next hop said
  PRIMARY KEY (held, n)
);
CREATE INDEX held_recipient_address ON held_recipient (address, held);
CREATE INDEX held_recipient_releasing ON held_recipient (at) WHERE state = 'releasing';

CREATE TABLE queued ( -- messages whose next hop is away
  id          TEXT PRIMARY KEY,
  at          BIGINT NOT NULL,
  expires     BIGINT NOT NULL,
  domain      TEXT NOT NULL, -- the destination
  mail_from   TEXT NOT NULL,
  envelope    TEXT NOT NULL,
  size        BIGINT NOT NULL,
  body        TEXT NOT NULL,
  attempts    INTEGER NOT NULL,
  due         BIGINT NOT NULL, -- 0: somebody asked for an attempt now, also where the hop is left alone
  claimed     BIGINT NOT NULL, -- until when somebody works on it, by the clock of the database; 0: nobody
  claimant    TEXT NOT NULL,   -- node/run of the node
  warned      INTEGER NOT NULL,
  state       TEXT NOT NULL,   -- waiting, aside (cannot be read)
  last        TEXT NOT NULL    -- what the hop said
);
CREATE INDEX queued_due ON queued (domain, state, due);
CREATE INDEX queued_order ON queued (domain, at, id); -- oldest first
CREATE INDEX queued_expires ON queued (expires, size);

CREATE TABLE queued_recipient (
  queued  TEXT NOT NULL,
  n       INTEGER NOT NULL, -- place in the envelope
  address TEXT NOT NULL,
  state   TEXT NOT NULL,    -- waiting, delivered, failed, dropped
  at      BIGINT NOT NULL,
  detail  TEXT NOT NULL,
  PRIMARY KEY (queued, n)
);

CREATE TABLE audit ( -- who did what
  id     TEXT PRIMARY KEY,
  at     BIGINT NOT NULL,
  who    TEXT NOT NULL,
  what   TEXT NOT NULL, -- quarantine.release, queue.drop, domain.add, …
  object TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_object ON audit (object, at);

CREATE TABLE record ( -- domains, proofs, tenants, plan journals: documents with a revision
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  revision BIGINT NOT NULL,
  at       BIGINT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (kind, id)
);
