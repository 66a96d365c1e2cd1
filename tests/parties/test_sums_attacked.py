"""A cloud that lies about a sum reads what a party without its guard adds, and nothing of one that has it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from summing import ROUND, Adder, Cloud, Unguarded, adders, attached, nodes, plain

from parties.secure_sum.own import Begun
from parties.secure_sum.statements import UnsafeSum, commitments, crowd_digest, signed_part
from parties.secure_sum.summand import Summand
from parties.workflow import WorkflowFailed
from protocol.crypto.certificates import CertificateError, mint, mint_authority
from protocol.crypto.merkle import MerkleTree
from protocol.crypto.pairwise import PairwiseKey, open_shares
from protocol.crypto.signing import SigningKey
from protocol.crypto.vouchers import Vouching
from protocol.messages.base import Voucher
from protocol.messages.secure_sum import (
    Advertisement,
    Confirmation,
    Crowd,
    DealtShares,
    KeyCall,
    Neighbours,
    Round,
    ShownShares,
)
from strategies.privacy.shares import reconstruct
from strategies.privacy.sum_graph import SumGraph

VICTIM, COUNT = 0, 5
LATER = Round(training="test", number=2)
OWNERS = [SigningKey(bytes([i] * 32)) for i in range(1, COUNT)]
PRIVATES = [bytes([i] * 32) for i in range(11, 10 + COUNT)]
"""The cloud's own identities, and the keys that it names as those of clients."""


def ends(error: str, said: str) -> bool:
    return said in error.strip().splitlines()[-1]


class TestReopening:
    """The cloud learns the sum, and then asks about it again, with the victim absent."""

    def reopened(self, role: type[Adder], between: bool) -> tuple[Cloud, list[Adder], NDArray[np.float64] | None]:
        parties = adders(COUNT, role=role)
        with attached(parties) as exchange:
            cloud = Cloud(exchange, COUNT)
            cloud.run()
            if between:
                Cloud(exchange, COUNT, Round(training="another", number=1)).run()
            own_mask = cloud.secret(VICTIM, cloud.answers["show"], present=True)
            others = [place for place in range(COUNT) if place != VICTIM]
            bits = cloud.board.bits(others)
            asked = {place: cloud.board.present(place, bits) for place in others}
            signed = cloud._asked("confirm", asked, Confirmation)
            shows = cloud.board.shows({place: each.signature for place, each in signed.items()})
            shown = cloud._asked("show", shows, ShownShares)
        if len(shown) < cloud.board.graph.threshold:
            return cloud, parties, None
        mask_key = cloud.secret(VICTIM, shown, present=False)
        return cloud, parties, cloud.read(VICTIM, own_mask, mask_key)

    @pytest.mark.parametrize("between", [False, True])
    def test_a_party_that_answers_twice_is_read_and_one_that_remembers_is_not(self, between: bool) -> None:
        _, parties, read = self.reopened(Unguarded, between)
        assert read is not None
        assert np.array_equal(read, plain([parties[VICTIM]]))
        cloud, _, read = self.reopened(Adder, between)
        assert read is None
        assert ends(*cloud.refusals("confirm"), "another question to confirm was answered for this sum already")
        assert not cloud.asked["show"]

    def test_every_question_of_a_sum_that_is_over_is_refused_again(self) -> None:
        with attached(adders(COUNT)) as exchange:
            cloud = Cloud(exchange, COUNT)
            cloud.run()
            for step in Cloud.STEPS[1:]:
                question = next(iter(cloud.asked[step].values()))
                kind = type(next(iter(cloud.answers[step].values())))
                again = exchange.ask(step, {nodes(COUNT)[VICTIM]: question}, kind)
                if step == "show":  # what was shown is known
                    assert again.answers[nodes(COUNT)[VICTIM]].shares.any()
                else:
                    assert ends(again.failures[nodes(COUNT)[VICTIM]], "this sum is over")

    def test_the_whole_sum_is_not_played_again(self) -> None:
        """Of a party that derives its keys from its secret, as before, and answers again, both secrets come out."""

        class Derived(Unguarded):
            def entropy(self, size: int) -> bytes:  # type: ignore[override]
                return bytes(size)

        for role, readable in ((Derived, True), (Adder, False)):
            parties = adders(COUNT, role=role)
            with attached(parties) as exchange:
                first, again = Cloud(exchange, COUNT), Cloud(exchange, COUNT, loses={VICTIM})
                first.run()
                if not readable:
                    with pytest.raises(WorkflowFailed, match="0 of 5 clients made keys"):
                        again.run()
                    continue
                again.run()
            own_mask = first.secret(VICTIM, first.answers["show"], present=True)
            mask_key = again.secret(VICTIM, again.answers["show"], present=False)
            assert np.array_equal(first.read(VICTIM, own_mask, mask_key), plain([parties[VICTIM]]))


class SplitCloud(Cloud):
    """Tells the first two that all four are present, and the others that the victim is not."""

    def _asked(self, step: str, questions: Any, kind: Any, *refusal: Any) -> Any:
        if step == "confirm":
            without = self.board.bits([1, 2, 3])
            questions = {
                place: question if place < 2 else question.model_copy(update={"present": without})
                for place, question in questions.items()
            }
            refusal = ()
        return super()._asked(step, questions, kind, *refusal)

    def _unmasked(self, board: Any, total: Any, *others: Any) -> Any:
        return total - total


class TestLyingAboutWhoIsPresent:
    def played(self) -> tuple[SplitCloud, list[Adder]]:
        parties = adders(4)
        with attached(parties) as exchange:
            cloud = SplitCloud(exchange, 4)
            cloud.run()
        return cloud, parties

    def test_who_has_not_heard_the_same_from_enough_others_shows_nothing(self) -> None:
        with attached(adders(4)) as exchange:
            cloud = SplitCloud(exchange, 4)
            with pytest.raises(WorkflowFailed, match="0 of 4 clients showed shares"):
                cloud.run()
        assert ends(*cloud.refusals("show"), "2 of 4 holders have confirmed who is present, and 3 are needed")

    def test_without_that_check_and_with_half_as_threshold_the_victim_is_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("parties.secure_sum.summand.is_by", lambda *told: True)
        monkeypatch.setattr("parties.secure_sum.summand.refusal", lambda graph, corrupt: None)
        monkeypatch.setattr("parties.secure_sum.summing.choose_graph", lambda *told: SumGraph(4, 3, 2))
        cloud, parties = self.played()
        shown = cloud.answers["show"]
        own_mask = cloud.secret(VICTIM, {place: shown[place] for place in (0, 1)}, present=True)
        mask_key = cloud.secret(VICTIM, {place: shown[place] for place in (2, 3)}, present=False)
        assert np.array_equal(cloud.read(VICTIM, own_mask, mask_key), plain([parties[VICTIM]]))

    def test_of_a_client_that_masked_with_others_nothing_is_shown(self) -> None:
        """One that is told of fewer who take part has fewer masks: the others do not remove those that it has."""

        def fewer(questions: dict[int, Any]) -> dict[int, Any]:
            bits = np.packbits([1, 1, 1, 1, 1, 0, 0])
            return questions | {VICTIM: questions[VICTIM].model_copy(update={"dealt": bits})}

        with attached(adders(7)) as exchange:
            cloud = Cloud(exchange, 7, lies={"add": fewer})
            with pytest.raises(WorkflowFailed, match="place 1 do not give it back"):
                cloud.run()
        for place, shown in cloud.answers["show"].items():
            sources, _ = cloud.board.drawers(place)
            assert not shown.shares[sources == VICTIM].any()


class TestKeys:
    """The cloud names keys of its own, or old ones, as those of the victim's neighbours."""

    def test_keys_that_are_not_in_the_tree_are_refused(self) -> None:
        forger = SigningKey(bytes(range(32)))

        def forged(questions: dict[int, Neighbours]) -> dict[int, Neighbours]:
            rows = questions[VICTIM].advertisements.copy()
            rows[0] = np.frombuffer(_row(forger, bytes([7] * 32)), np.uint8)
            return questions | {VICTIM: questions[VICTIM].model_copy(update={"advertisements": rows})}

        with attached(adders(COUNT)) as exchange:
            cloud = Cloud(exchange, COUNT, lies={"deal": forged})
            cloud.run()
        assert ends(*cloud.refusals("deal"), "the keys of place 2 are not those in the tree")

    def test_a_place_twice_or_a_key_twice_is_refused(self) -> None:
        def doubled(questions: dict[int, Neighbours]) -> dict[int, Neighbours]:
            rows = questions[VICTIM].advertisements[[0, 0, 2, 3]]
            return questions | {VICTIM: questions[VICTIM].model_copy(update={"advertisements": rows})}

        with attached(adders(COUNT)) as exchange:
            cloud = Cloud(exchange, COUNT, lies={"deal": doubled})
            cloud.run()
        assert ends(*cloud.refusals("deal"), "two clients of the sum have the same key")

    def alone(self, party: Adder, owners: list[SigningKey], privates: list[bytes], round: Round = ROUND,
              signed: Round = ROUND, vouching: list[Vouching] | None = None) -> tuple[DealtShares, Crowd]:  # fmt: skip
        """Let a party deal shares among neighbours who are all the cloud's."""
        own = party.keys(KeyCall(round=round))
        rows = [_row_of(own), *(_row(*each, signed) for each in zip(owners, privates, strict=True))]
        tree, n = MerkleTree(rows), len(rows)
        crowd = crowd_of(tree, SumGraph(n, n - 1, 2 * n // 3 + 1), round)
        party.meet(crowd)
        proofs = np.frombuffer(b"".join(tree.proof(i) for i in range(1, n)), np.uint8).reshape(n - 1, -1)
        keys = np.frombuffer(b"".join(rows[1:]), np.uint8).reshape(n - 1, -1)
        vouchers = tuple(each.vouch(owner.public) for each, owner in zip(vouching or [], owners, strict=False))
        return party.deal(Neighbours(round=round, advertisements=keys, proofs=proofs, vouchers=vouchers)), crowd

    def test_a_cloud_with_keys_of_its_own_reads_everything_where_there_are_no_certificates(self) -> None:
        """Nothing stops this: nobody can tell whose a key is."""
        party = Adder(bytes(32))
        dealt, crowd = self.alone(party, OWNERS, PRIVATES)
        own = Summand(ROUND, party.memory.recall("sum Begun test", Begun).fresh, 3, 0.2)
        agreed = [PairwiseKey(_share_private(private)).agreed(own._share_key.public) for private in PRIVATES]
        opened = [
            open_shares(each, f"test 1 1 {place}", sealed.tobytes())
            for place, each, sealed in zip(range(2, COUNT + 1), agreed, dealt.sealed, strict=True)
        ]
        assert commitments(crowd_digest(crowd), 1, 2, opened[0]) == dealt.commitments[1].tobytes()
        shares = np.array([np.frombuffer(each, np.uint8) for each in opened])
        assert reconstruct([1, 2, 3, 4], shares[:, :36]) == own._seed("own mask")

    def test_where_there_are_certificates_they_are_refused(self) -> None:
        authority = mint_authority()

        def vouching(role: str, name: str) -> Vouching:
            return Vouching(mint(authority, role, name), authority.certificate)

        party = Adder(bytes(32))
        party.vouching = vouching("client", "victim")
        with pytest.raises(CertificateError, match="no certificate vouches"):
            self.alone(party, OWNERS, PRIVATES)
        sellers = [vouching("seller", f"seller{i}") for i in range(1, COUNT)]
        party = Adder(bytes([1] * 32))
        party.vouching = vouching("client", "victim")
        with pytest.raises(CertificateError, match="is of urn:parley:seller"):
            self.alone(party, OWNERS, PRIVATES, vouching=sellers)
        clients = [vouching("client", f"client{i}") for i in range(1, COUNT)]
        party = Adder(bytes([2] * 32))
        party.vouching = vouching("client", "victim")
        self.alone(party, OWNERS, PRIVATES, vouching=clients)

    def test_with_certificates_the_cloud_leaves_out_who_has_none_and_the_others_add(self) -> None:
        authority = mint_authority()
        parties = adders(5)
        for i, party in enumerate(parties[1:], 1):
            party.vouching = Vouching(mint(authority, "client", f"client{i}"), authority.certificate)
        cloud_ = Vouching(mint(authority, "cloud", "cloud", ["localhost"]), authority.certificate)

        def check(identity: bytes, voucher: Voucher | None) -> None:
            cloud_.holder(voucher, identity, "client")

        with attached(parties) as exchange:
            record = Cloud(exchange, 5, check=check).run()
        assert [each.line for each in record.failures] == ["keys: no certificate vouches for the key of the client"]
        assert np.array_equal(record.total, plain(parties[1:]))

    def test_keys_of_an_earlier_sum_are_refused(self) -> None:
        with pytest.raises(UnsafeSum, match="the keys of place 2 are not signed for this sum"):
            self.alone(Adder(bytes(32)), OWNERS, PRIVATES, round=LATER, signed=ROUND)

    def test_without_that_check_they_are_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("parties.secure_sum.summand.is_signed", lambda round, row: True)
        self.alone(Adder(bytes(32)), OWNERS, PRIVATES, round=LATER, signed=ROUND)

    def test_a_replayed_roster_does_not_hold_the_keys_of_this_sum(self) -> None:
        party = Adder(bytes(32))
        _, crowd = self.alone(party, OWNERS, PRIVATES)
        party.keys(KeyCall(round=LATER))
        with pytest.raises(UnsafeSum, match="the tree does not hold this client's keys at its place"):
            party.meet(crowd.model_copy(update={"round": LATER}))

    def test_neighbours_are_drawn_anew_and_not_by_the_cloud(self) -> None:
        graph = SumGraph(200, 76, 57)
        drawn = set()
        for i in range(3):
            party = Adder(bytes([i] * 32))
            own = _row_of(party.keys(KeyCall(round=ROUND)))
            tree = MerkleTree([own, *(bytes([place]) for place in range(1, 200))])
            crowd = crowd_of(tree, graph)
            places = party.meet(crowd).places
            assert len({*places.tolist()}) == graph.neighbours
            assert 1 not in places
            drawn.add(tuple(sorted(places.tolist())))
            with pytest.raises(UnsafeSum, match="another question to meet was answered"):
                party.meet(crowd.model_copy(update={"root": bytes(32)}))
        assert len(drawn) == 3


class TestSmallSums:
    @pytest.mark.parametrize(
        ("clients", "neighbours", "threshold", "said"),
        [
            (1, 1, 1, "a sum of 1 clients is refused"),
            (2, 1, 2, "a sum of 2 clients is refused: 3 or more"),
            (9, 8, 5, "5 of 9 holders could remove masks: it has to be more than two thirds"),
            (9, 8, 6, "6 of 9 holders could remove masks: it has to be more than two thirds"),
            (9, 8, 10, "10 of 9 holders"),
            (9, 4, 4, "of fewer than 100 clients everybody has to be everybody's neighbour"),
            (9, 9, 7, "9 of 9 clients are no neighbours of one"),
            (1000, 100, 68, "68 of 101 holders could remove masks: 78 keep corrupt ones from it"),
        ],
    )
    def test_too_few_clients_neighbours_or_holders_are_refused(
        self, clients: int, neighbours: int, threshold: int, said: str
    ) -> None:
        party = Adder(bytes(32))
        own = _row_of(party.keys(KeyCall(round=ROUND)))
        tree = MerkleTree([own, *(bytes([i % 256, i // 256]) for i in range(1, clients))])
        crowd = crowd_of(tree, SumGraph(clients, neighbours, threshold))
        with pytest.raises(UnsafeSum, match=said):
            party.meet(crowd)

    def test_a_party_says_itself_how_many_there_have_to_be(self) -> None:
        parties = adders(4)
        parties[VICTIM].fewest = 5
        with attached(parties) as exchange:
            cloud = Cloud(exchange, 4)
            cloud.run()
        assert ends(*cloud.refusals("meet"), "a sum of 4 clients is refused: 5 or more have to take part")

    @pytest.mark.parametrize("step", ["add", "confirm"])
    def test_a_set_that_is_too_small_is_refused(self, step: str) -> None:
        few = np.packbits([1, 1, 1, 0, 0])
        field = {"add": "dealt", "confirm": "present"}[step]

        def smaller(questions: dict[int, Any]) -> dict[int, Any]:
            return {place: question.model_copy(update={field: few}) for place, question in questions.items()}

        with attached(adders(COUNT)) as exchange:
            cloud = Cloud(exchange, COUNT, lies={step: smaller})
            with pytest.raises(WorkflowFailed, match="0 of 5 clients"):
                cloud.run()
        said = cloud.refusals(step)
        assert any("3 of 5 clients" in each for each in said)
        assert any("this client is not among those who" in each for each in said)


def _row(owner: SigningKey, private: bytes, round: Round = ROUND) -> bytes:
    masks, shares = PairwiseKey(private).public, PairwiseKey(_share_private(private)).public
    return masks + shares + owner.public + owner.sign("secure sum keys", signed_part(round, masks, shares))


def _row_of(each: Advertisement) -> bytes:
    return each.masks + each.shares + each.identity + each.signature


def _share_private(private: bytes) -> bytes:
    return bytes(byte ^ 0x40 for byte in private)


def crowd_of(tree: MerkleTree, graph: SumGraph, round: Round = ROUND) -> Crowd:
    return Crowd(
        round=round, you=1, clients=graph.clients, neighbours=graph.neighbours, threshold=graph.threshold,
        root=tree.root, proof=tree.proof(0),
    )  # fmt: skip
