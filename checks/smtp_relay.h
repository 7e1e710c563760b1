// Would it carry a stranger's mail? The session, what each answer means and the promise are at the head of smtp_relay.cc.
#pragma once

#include "checks/check.h"

namespace ajar {

// Never `open`: that a message arrived is for the canary to say. LinkError when nothing was learnt before the peer was gone
// (nobody listens, no route, silence instead of a greeting, TLS failed on an implicit TLS port); what happens later is in the
// Finding.
Task<Finding> smtp_relay(Network& network, Canary& canary, const Subject& subject);

}  // namespace ajar
