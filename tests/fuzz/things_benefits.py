"""Things of shared benefits, made through the API when they are wanted: benefits, pools, vouchers, redemptions, passes."""

from exchange import fresh

NAME = {"en": "A thing of the fuzzer", "zh": "一样东西"}
# For Lumen's own members and Harvest's: what Lumen's tills take, they may take twice.
TICKET = {"kind": "ticket", "name": NAME, "use_days": 30, "uses": 2, "offers": [{"to": "lumen"}, {"to": "harvest"}]}


class Benefits:
    """Of `Things`: what is claimed is claimed by one member that is kept for it."""

    # Kept for as long as there are things.
    ticket = taker = None

    def benefit_body(self, **changes):
        """A body for `PUT /v1/benefits/{id}`."""
        return {**TICKET, **changes}

    def benefit(self, giver=None, **changes):
        """A new one, by default of ours; as its PUT answered."""
        path = f"/v1/benefits/{fresh('fuzz')}"
        return (giver or self.own).must("PUT", path, self.benefit_body(**changes))

    def paid_benefit(self, funder="brand", approved=False):
        """A new one of the other brand's for our members that we, or the operator, are to pay for."""
        offers = [{"to": self.own.name, "funder": funder, "cost": "1.00"}]
        made = self.benefit(self.other, offers=offers)
        if approved:
            payer = self.own if funder == "brand" else self.operator
            payer.must("POST", f"/v1/benefits/{made['benefit_id']}/approvals", {"version": made["version"]})
        return made

    def pool(self, codes=3):
        """The id of a benefit of ours with codes of our own."""
        made = self.benefit(codes="pool")["benefit_id"]
        self.own.must("POST", f"/v1/benefits/{made}/codes", {"codes": [fresh("CODE") for _ in range(codes)]})
        return made

    def taken_by(self):
        """The member that claims."""
        if self.taker is None:
            self.taker = self.member()
        return self.taker

    def claimable(self):
        """The id of the benefit that is claimed."""
        if self.ticket is None:
            self.ticket = self.benefit()["benefit_id"]
        return self.ticket

    def claim_body(self, **more):
        return {"member_ref": self.taken_by(), "external_reference": fresh("ref"), **more}

    def voucher(self, benefit=None, **more):
        """A new voucher of ours, as its claim answered; `reserve=True` for a place that is kept."""
        path = f"/v1/benefits/{benefit or self.claimable()}/claims"
        return self.own.must("POST", path, self.claim_body(**more), fresh("key"))

    def redemption_body(self, **more):
        return {"store": "Bund", "till": "3", "external_reference": fresh("till"), **more}

    def redemption(self):
        """The id of a use of a new voucher, at a till of ours."""
        path = f"/v1/vouchers/{self.voucher()['code']}/redemptions"
        return self.own.must("POST", path, self.redemption_body(), fresh("key"))["redemption_id"]

    def pass_code(self):
        """What a member of ours shows to be recognised, for two minutes."""
        return self.own.must("POST", f"/v1/memberships/{self.taken_by()}/passes")["code"]

    def spare_benefits(self, spare):
        """Of each kind some that random requests may spend."""
        made = [self.benefit(), self.benefit(quota=1), self.paid_benefit(approved=True), self.paid_benefit("operator")]
        spare["bnf"] = [one["benefit_id"] for one in made] + [self.pool()]
        vouchers = [self.voucher() for _ in range(4)] + [self.voucher(reserve=True) for _ in range(2)]
        vouchers.append(self.voucher(spare["bnf"][-1]))
        spare["shown"] = [one["voucher_id"] for one in vouchers] + [one["code"] for one in vouchers if "code" in one]
        spare["shown"].append(self.pass_code())
        spare["use"] = [self.redemption() for _ in range(3)]
        pages = ["/v1/benefits", f"/v1/memberships/{self.taken_by()}/vouchers"]
        spare["cursors"] += [self.own.must("GET", f"{page}?limit=1")["next_cursor"] for page in pages]
