"""Lets Bybit's own Python client talk to the simulated venue, and checks what it is told.

Usage: check.py HOST:PORT CA.PEM KEY SECRET

The client is as published; only its hosts and the certificate authority that it trusts are others. Prints a line for each check, ends with 1 at the first that fails.
"""

import copy
import os
import sys
import threading
import time
from decimal import Decimal

import pybit._websocket_trading
import pybit.unified_trading
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

HOST, CA, KEY, SECRET = sys.argv[1:5]
WAIT_S = 10

# Hosts and certificate authority, and nothing else.
os.environ["WEBSOCKET_CLIENT_CA_BUNDLE"] = CA
pybit.unified_trading.PUBLIC_WSS = f"wss://{HOST}/v5/public/{{CHANNEL_TYPE}}"
pybit.unified_trading.PRIVATE_WSS = f"wss://{HOST}/v5/private"
pybit._websocket_trading.TRADE_WSS = f"wss://{HOST}/v5/trade"

checks = 0


def check(what, is_true, *details):
    """Fails loudly unless something holds."""
    global checks
    if not is_true:
        sys.exit(f"FAILED: {what}: {details}")
    checks += 1
    print(f"ok {what}", flush=True)


def wait_for(what, found):
    """Waits until `found` returns something true, and returns it."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        value = found()
        if value:
            check(what, True)
            return value
        time.sleep(0.01)
    sys.exit(f"FAILED: {what}: nothing came within {WAIT_S} s")


def http(api_key=KEY, api_secret=SECRET, **more):
    session = HTTP(api_key=api_key, api_secret=api_secret, **more)
    session.endpoint = f"https://{HOST}"
    session.client.verify = CA
    return session


def refused(code, call, **params):
    """Checks that a request is refused with a code."""
    try:
        answer = call(**params)
    except (InvalidRequestError, FailedRequestError) as error:
        check(f"{call.__name__} refuses with {code}", error.status_code == code, error)
        return
    check(f"{call.__name__} refuses with {code}", False, answer)


class Log:
    """Messages of topics, as callbacks bring them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.messages = {}

    def __call__(self, message):
        # The client goes on changing its books in place.
        message = copy.deepcopy(message)
        with self.lock:
            self.messages.setdefault(message["topic"], []).append(message)

    def of(self, topic):
        with self.lock:
            return list(self.messages.get(topic, []))

    def items(self, topic):
        return [item for message in self.of(topic) for item in message["data"]]


class Trading:
    """Order requests over a WebSocket that wait for their answers."""

    def __init__(self):
        self.ws = WebSocketTrading(testnet=False, api_key=KEY, api_secret=SECRET, recv_window=5000)
        wait_for("the trading socket logs in", lambda: self.ws.auth)

    def ask(self, name, **params):
        answers = []
        getattr(self.ws, name)(answers.append, answers.append, **params)
        until = time.monotonic() + WAIT_S
        while not answers and time.monotonic() < until:
            time.sleep(0.002)
        if not answers:
            sys.exit(f"FAILED: {name} has no answer: {params}")
        return answers[0]

    def good(self, name, **params):
        answer = self.ask(name, **params)
        check(f"{name} over the socket", answer["retCode"] == 0, params, answer)
        return answer


rest = http()
linear = {"category": "linear", "symbol": "BTCUSDT"}
spot = {"category": "spot", "symbol": "BTCUSDT"}


def market_data():
    """What REST tells everybody."""
    told = int(rest.get_server_time()["result"]["timeNano"]) / 1e9
    check("the server's time is ours", abs(told - time.time()) < 2, told)
    names, cursor = [], ""
    while True:
        page = rest.get_instruments_info(category="linear", limit=50, cursor=cursor or None)["result"]
        names += [item["symbol"] for item in page["list"]]
        check("a page of instruments is not too long", 0 < len(page["list"]) <= 50)
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    check("instruments come page by page", len(names) == len(set(names)) > 100, len(names))
    check("spot pairs are listed", len(rest.get_instruments_info(category="spot")["result"]["list"]) == 2)
    tickers = rest.get_tickers(category="linear")["result"]["list"]
    check("one answer has all tickers", len(tickers) >= len(names), len(tickers))
    by_name = {ticker["symbol"]: ticker for ticker in tickers}
    check("every instrument has a ticker", all(name in by_name for name in names))
    check(
        "tickers have their prices",
        all(Decimal(by_name[name]["bid1Price"]) < Decimal(by_name[name]["ask1Price"]) for name in names),
    )
    ticker = rest.get_tickers(**spot)["result"]["list"][0]
    check("spot's ticker has the best prices", Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"]), ticker)
    for which in (linear, spot):
        book = rest.get_orderbook(**which, limit=50)["result"]
        bids, asks = [[Decimal(level[0]) for level in book[side]] for side in "ba"]
        in_order = bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0] < asks[0]
        check(f"{which['category']}: the book is in order", in_order and len(bids) > 10, book)
        candles = rest.get_kline(**which, interval=1, limit=5)["result"]["list"]
        shaped = all(
            len(one) == 7 and Decimal(one[3]) <= min(Decimal(one[1]), Decimal(one[4])) <= Decimal(one[2])
            for one in candles
        )
        check(f"{which['category']}: candles have their shape", candles and shaped, candles)
        trades = rest.get_public_trade_history(**which, limit=10)["result"]["list"]
        check(f"{which['category']}: trades are told", all(trade["side"] in ("Buy", "Sell") for trade in trades))
    daily = rest.get_kline(**linear, interval="D", limit=30)["result"]["list"]
    check("there is a past", len(daily) == 30 and int(daily[0][0]) - int(daily[1][0]) == 86_400_000, daily[:2])
    funding = rest.get_funding_rate_history(**linear, limit=3)["result"]["list"]
    check("funding has a history", len(funding) == 3, funding)
    refused(10001, rest.get_orderbook, category="linear", symbol="NOSUCH")


def public_streams():
    """Every public topic that the engine uses, on both products."""
    for which in (linear, spot):
        product, symbol, log = which["category"], which["symbol"], Log()
        ws = WebSocket(channel_type=product, testnet=False)
        for depth in (1, 50, 200, 1000):
            ws.orderbook_stream(depth, symbol, log)
        ws.trade_stream(symbol, log)
        ws.ticker_stream(symbol, log)
        ws.kline_stream(1, symbol, log)
        if product == "linear":
            ws.all_liquidation_stream(symbol, log)
        for depth in (1, 50, 200, 1000):
            topic = f"orderbook.{depth}.{symbol}"
            wait_for(f"{product}: {topic} goes on", lambda: len(log.of(topic)) > 3)
            last = log.of(topic)[-1]["data"]
            sides = [[Decimal(level[0]) for level in last[side]] for side in "ba"]
            check(f"{product}: {topic} does not cross", max(sides[0]) < min(sides[1]), last)
            deep = 1 if depth == 1 else 20
            check(f"{product}: {topic} is deep", min(map(len, sides)) >= deep, list(map(len, sides)))
            numbers = [message["data"]["u"] for message in log.of(topic)]
            steps = [after - before for before, after in zip(numbers, numbers[1:])]
            check(f"{product}: {topic} has no gap", all(step == 1 or (depth == 1 and step == 0) for step in steps), numbers)
        for topic in (f"publicTrade.{symbol}", f"tickers.{symbol}", f"kline.1.{symbol}"):
            wait_for(f"{product}: {topic}", lambda: log.of(topic))
        ticker = log.of(f"tickers.{symbol}")[-1]["data"]
        check(f"{product}: the ticker is whole", ticker["symbol"] == symbol and Decimal(ticker["lastPrice"]) > 0, ticker)
        candle = log.of(f"kline.1.{symbol}")[-1]["data"][0]
        check(f"{product}: the candle is whole", candle["interval"] == "1" and candle["confirm"] is False, candle)
        ws.unsubscribe(f"publicTrade.{symbol}")
        wait_for(f"{product}: a topic is given up", lambda: f"publicTrade.{symbol}" not in ws.get_subscription_topics())
        ws.ws.send(ws.custom_ping_message)
        ws.exit()


class Account:
    """The private streams, and REST beside them."""

    def __init__(self):
        self.log = Log()
        self.ws = WebSocket(channel_type="private", testnet=False, api_key=KEY, api_secret=SECRET)
        wait_for("the private socket logs in", lambda: self.ws.auth)
        for subscribe in (
            self.ws.order_stream,
            self.ws.execution_stream,
            self.ws.fast_execution_stream,
            self.ws.position_stream,
            self.ws.wallet_stream,
        ):
            subscribe(self.log)
        time.sleep(0.2)

    def told(self, order_id, *statuses):
        """Waits until an order was told in one of the states."""
        def found():
            items = [item for item in self.log.items("order") if item["orderId"] == order_id]
            return next((item for item in items if item["orderStatus"] in statuses), None)
        return wait_for(f"an order is told {' or '.join(statuses)}", found)

    def fills(self, order_id, topic="execution"):
        return [item for item in self.log.items(topic) if item["orderId"] == order_id]

    def wallet(self, coin="USDT"):
        coins = rest.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]["coin"]
        found = [Decimal(item["walletBalance"]) for item in coins if item["coin"] == coin]
        return found[0] if found else Decimal(0)

    def position(self):
        return rest.get_positions(**linear)["result"]["list"][0]

    def open(self, **which):
        return rest.get_open_orders(**(which or linear), limit=50)["result"]["list"]


def best():
    book = rest.get_orderbook(**linear, limit=1)["result"]
    return Decimal(book["b"][0][0]), Decimal(book["a"][0][0])


def settings():
    """What an account may set, and the codes for what it may not."""
    info = rest.get_account_info()["result"]
    check("the account is unified", info["unifiedMarginStatus"] in (3, 4, 5, 6), info)
    fees = rest.get_fee_rates(category="linear")["result"]["list"]
    check("fees of all symbols", len(fees) > 100 and all("takerFeeRate" in fee for fee in fees), len(fees))
    fee = rest.get_fee_rates(**linear)["result"]["list"]
    check("fees of one symbol", len(fee) == 1 and fee[0]["symbol"] == "BTCUSDT", fee)
    rest.set_leverage(**linear, buyLeverage="7", sellLeverage="7")
    check("leverage is set", rest.get_positions(**linear)["result"]["list"][0]["leverage"] == "7")
    refused(110043, rest.set_leverage, **linear, buyLeverage="7", sellLeverage="7")
    refused(110025, rest.switch_position_mode, **linear, mode=0)
    refused(10001, rest.switch_position_mode, **linear, mode=3)
    refused(10001, rest.set_trading_stop, **linear, takeProfit="99999", positionIdx=0, tpslMode="Full")
    refused(401, http(api_key="nobody").get_account_info)
    refused(10004, http(api_secret="wrong").get_account_info)


def orders_over_the_socket(account, trading):
    bid, ask = best()
    away = str(bid - 100)
    answer = trading.good(
        "place_order", **linear, side="Buy", orderType="Limit", qty="0.010", price=away, orderLinkId="py-limit"
    )
    order_id = answer["data"]["orderId"]
    check("the answer tells the limit", int(answer["header"]["X-Bapi-Limit-Status"]) < int(answer["header"]["X-Bapi-Limit"]))
    account.told(order_id, "New")
    seen = [order for order in account.open() if order["orderId"] == order_id]
    check(
        "REST has the order of the socket",
        len(seen) == 1 and seen[0]["orderLinkId"] == "py-limit" and Decimal(seen[0]["qty"]) == Decimal("0.01"),
        seen,
    )
    trading.good("amend_order", **linear, orderId=order_id, qty="0.020", price=str(bid - 90))
    seen = rest.get_open_orders(**linear, orderLinkId="py-limit")["result"]["list"]
    check("an amendment is seen", Decimal(seen[0]["qty"]) == Decimal("0.02") and Decimal(seen[0]["price"]) == bid - 90, seen)
    again = trading.ask(
        "place_order", **linear, side="Buy", orderType="Limit", qty="0.010", price=away, orderLinkId="py-limit"
    )
    check("a link is used once", again["retCode"] == 110072, again)
    trading.good("cancel_order", **linear, orderLinkId="py-limit")
    account.told(order_id, "Cancelled")
    gone = trading.ask("cancel_order", **linear, orderId=order_id)
    check("what is gone cannot be cancelled", gone["retCode"] == 110001, gone)
    crossing = trading.good(
        "place_order", **linear, side="Buy", orderType="Limit", qty="0.010", price=str(ask + 50), timeInForce="PostOnly"
    )
    ended = account.told(crossing["data"]["orderId"], "Cancelled", "Rejected")
    check("post-only does not take", ended["rejectReason"] == "EC_PostOnlyWillTakeLiquidity", ended)
    reducing = trading.ask(
        "place_order", **linear, side="Sell", orderType="Market", qty="0.010", reduceOnly=True
    )
    check("there is nothing to reduce", reducing["retCode"] == 110017, reducing)
    # Batches answer item by item.
    items = [
        {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": str(bid - 100 - n), "orderLinkId": f"py-b{n}"}
        for n in range(3)
    ]
    items.append(dict(items[0], orderLinkId="py-b3", price="0.05"))
    batch = trading.good("place_batch_order", category="linear", request=items)
    codes = [item["code"] for item in batch["retExtInfo"]["list"]]
    check("a batch tells each item's code", codes[:3] == [0, 0, 0] and codes[3] != 0, codes)
    amended = trading.good(
        "amend_batch_order", category="linear",
        request=[{"symbol": "BTCUSDT", "orderLinkId": f"py-b{n}", "qty": "0.002"} for n in range(3)],
    )
    check("a batch amends", all(item["code"] == 0 for item in amended["retExtInfo"]["list"]), amended)
    check("a batch is seen", sum(order["qty"] == "0.002" for order in account.open()) == 3)
    cancelled = trading.good(
        "cancel_batch_order", category="linear",
        request=[{"symbol": "BTCUSDT", "orderLinkId": f"py-b{n}"} for n in range(2)],
    )
    check("a batch cancels", all(item["code"] == 0 for item in cancelled["retExtInfo"]["list"]), cancelled)
    everything = rest.cancel_all_orders(category="linear", symbol="BTCUSDT")["result"]
    check("cancel-all cancels the rest", len(everything["list"]) == 1 and everything["success"] == "1", everything)
    check("nothing is open", account.open() == [])


def trades(account, trading):
    """Fills: in the streams, in REST, in position and wallet."""
    before = account.wallet()
    _, ask = best()
    taken = trading.good(
        "place_order", **linear, side="Buy", orderType="Limit", qty="0.050", price=str(ask + 100), timeInForce="IOC",
        orderLinkId="py-ioc",
    )["data"]["orderId"]
    account.told(taken, "Filled")
    fills = wait_for("all of it is filled", lambda: whole(account.fills(taken), "0.05"))
    fast = wait_for("fast fills come too", lambda: whole(account.fills(taken, "execution.fast"), "0.05"))
    check("fast and slow fills are the same", {f["execId"] for f in fills} == {f["execId"] for f in fast})
    listed = rest.get_executions(**linear, orderId=taken)["result"]["list"]
    check("REST lists the same fills", {f["execId"] for f in fills} == {f["execId"] for f in listed}, listed)
    fees = sum(Decimal(fill["execFee"]) for fill in fills)
    check("a taker pays", fees > 0, fees)
    after = wait_for("the wallet is told", lambda: account.log.items("wallet"))
    told = [Decimal(coin["walletBalance"]) for wallet in after for coin in wallet["coin"] if coin["coin"] == "USDT"]
    check("the wallet falls by the fee", account.wallet() == told[-1] == before - fees, before, fees, told)
    position = account.position()
    value = sum(Decimal(fill["execQty"]) * Decimal(fill["execPrice"]) for fill in fills)
    check("the position has the fills", position["side"] == "Buy" and Decimal(position["size"]) == Decimal("0.05"), position)
    check("its entry is their average", abs(Decimal(position["avgPrice"]) - value / Decimal("0.05")) < Decimal("1e-6"), position)
    pushed = [item for item in account.log.items("position") if item["symbol"] == "BTCUSDT"]
    check("the position is told", Decimal(pushed[-1]["size"]) == Decimal("0.05"), pushed[-1])
    refused(110024, rest.switch_position_mode, **linear, mode=3)

    # A resting order at the touch is filled by the crowd, sooner or later; a maker's fast fill has no link.
    bid, _ = best()
    resting = trading.good(
        "place_order", **linear, side="Sell", orderType="Limit", qty="0.001", price=str(bid + Decimal("0.1")), orderLinkId="py-maker"
    )["data"]["orderId"]
    account.told(resting, "Filled")
    fill = wait_for("it is filled", lambda: account.fills(resting, "execution.fast"))[0]
    check("a maker's fast fill has no link", not fill["isMaker"] or fill["orderLinkId"] == "", fill)

    # Half is sold by a reduce-only market order through REST, the rest closed whole.
    half = rest.place_order(**linear, side="Sell", orderType="Market", qty="0.020", reduceOnly=True)["result"]["orderId"]
    account.told(half, "Filled")
    rest_of_it = rest.place_order(**linear, side="Sell", orderType="Market", qty="0", reduceOnly=True, closeOnTrigger=True)
    account.told(rest_of_it["result"]["orderId"], "Filled")
    check("the position is closed", Decimal(account.position()["size"]) == 0)
    all_fills = rest.get_executions(category="linear", limit=100)["result"]["list"]
    pnl = sum(Decimal(fill["execPnl"]) for fill in all_fills)
    fees = sum(Decimal(fill["execFee"]) for fill in all_fills)
    check("the wallet is the start with profit and fees", account.wallet() == before + pnl - fees, before, pnl, fees)
    closed = rest.get_closed_pnl(**linear)["result"]["list"]
    sizes = sum(Decimal(item["closedSize"]) for item in closed)
    check("what was closed is listed", sizes == Decimal("0.05"), closed)
    history, cursor = [], ""
    while True:
        page = rest.get_order_history(category="linear", limit=3, cursor=cursor or None)["result"]
        history += [order["orderId"] for order in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    known = {item["orderId"] for item in account.log.items("order")}
    check("the history has every order, page by page", set(history) == known and len(history) == len(known), history)


def breathe():
    """Lets the second of a rate limit pass: the client's own waiting fails when it comes a moment late."""
    time.sleep(1.1)


def whole(fills, qty):
    return fills if sum(Decimal(fill["execQty"]) for fill in fills) == Decimal(qty) else None


def orders_over_rest(account):
    """The same requests by REST."""
    breathe()
    bid, ask = best()
    placed = rest.place_order(**linear, side="Buy", orderType="Limit", qty="0.01", price=str(bid - 100), timeInForce="PostOnly")
    order_id = placed["result"]["orderId"]
    account.told(order_id, "New")
    rest.amend_order(**linear, orderId=order_id, qty="0.02")
    check("REST amends", account.open()[0]["qty"] == "0.020")
    rest.cancel_order(**linear, orderId=order_id)
    account.told(order_id, "Cancelled")
    refused(110001, rest.cancel_order, **linear, orderId=order_id)
    refused(110094, rest.place_order, **linear, side="Buy", orderType="Limit", qty="0.001", price="1000")
    refused(10001, rest.place_order, **linear, side="Buy", orderType="Limit", qty="0.0015", price=str(bid))
    items = [
        {"symbol": "BTCUSDT", "side": "Sell", "orderType": "Limit", "qty": "0.001", "price": str(ask + 100 + n)}
        for n in range(3)
    ]
    batch = rest.place_batch_order(category="linear", request=items)
    ids = [item["orderId"] for item in batch["result"]["list"]]
    check("REST takes batches", [item["code"] for item in batch["retExtInfo"]["list"]] == [0, 0, 0], batch)
    amended = rest.amend_batch_order(
        category="linear", request=[{"symbol": "BTCUSDT", "orderId": one, "qty": "0.003"} for one in ids]
    )
    check("REST amends batches", [item["code"] for item in amended["retExtInfo"]["list"]] == [0, 0, 0], amended)
    cancelled = rest.cancel_batch_order(
        category="linear", request=[{"symbol": "BTCUSDT", "orderId": one} for one in ids + ["none-such"]]
    )
    check("REST cancels batches", [item["code"] for item in cancelled["retExtInfo"]["list"]] == [0, 0, 0, 110001], cancelled)


def just_above():
    """Places a buy order that waits for a price just above the market, which may get there first."""
    for _ in range(5):
        trigger = best()[1] + Decimal("0.3")
        try:
            placed = rest.place_order(
                **linear, side="Buy", orderType="Market", qty="0.01", triggerPrice=str(trigger), triggerDirection=1,
                triggerBy="LastPrice",
            )
            return placed["result"]["orderId"]
        except InvalidRequestError as error:
            check("only the market was faster", error.status_code == 110092, error)
            time.sleep(0.2)
    sys.exit("FAILED: the market was faster five times")


def waiting_orders(account):
    """Conditional orders, take-profit and stop-loss."""
    breathe()
    bid, ask = best()
    far = rest.place_order(
        **linear, side="Buy", orderType="Limit", qty="0.01", price=str(bid), triggerPrice=str(ask + 5000), triggerDirection=1
    )["result"]["orderId"]
    account.told(far, "Untriggered")
    refused(110092, rest.place_order, **linear, side="Buy", orderType="Market", qty="0.01", triggerPrice=str(bid - 5000), triggerDirection=1)
    listed = [order for order in account.open() if order["orderId"] == far]
    check("a conditional order is listed", listed and listed[0]["stopOrderType"] == "Stop" and Decimal(listed[0]["triggerPrice"]) == ask + 5000, listed)
    rest.amend_order(**linear, orderId=far, triggerPrice=str(ask + 4000))
    active = rest.cancel_all_orders(**linear, orderFilter="Order")["result"]["list"]
    check("active orders are cancelled alone", active == [] and len(account.open()) == 1)
    rest.cancel_order(**linear, orderId=far)
    account.told(far, "Deactivated")
    # A trigger just above the market; buying lifts the last price to it.
    near = just_above()
    account.told(near, "Untriggered")
    for _ in range(20):
        rest.place_order(**linear, side="Buy", orderType="Limit", qty="1", price=str(best()[1] + 10), timeInForce="IOC")
        if any(item["orderId"] == near and item["orderStatus"] == "Triggered" for item in account.log.items("order")):
            break
        time.sleep(0.2)
    account.told(near, "Triggered")
    account.told(near, "Filled")
    fill = wait_for("it has a fill", lambda: account.fills(near))[0]
    check("its fill tells where it comes from", fill["createType"] == "CreateByStopOrder", fill)
    # The position gets a take-profit, a stop-loss and a trailing stop.
    last = Decimal(rest.get_tickers(**linear)["result"]["list"][0]["lastPrice"])
    protect = dict(**linear, tpslMode="Full", positionIdx=0)
    rest.set_trading_stop(**protect, takeProfit=str(last + 1000), stopLoss=str(last - 1000), trailingStop="500")
    position = account.position()
    told = [Decimal(position[key]) for key in ("takeProfit", "stopLoss", "trailingStop")]
    check("the position is protected", told == [last + 1000, last - 1000, Decimal(500)], told)
    refused(34040, rest.set_trading_stop, **protect, takeProfit=str(last + 1000))
    refused(10001, rest.set_trading_stop, **protect, takeProfit=str(last - 2000))
    kinds = sorted(order["stopOrderType"] for order in account.open())
    check("three orders wait", kinds == ["StopLoss", "TakeProfit", "TrailingStop"], kinds)
    closing = rest.place_order(**linear, side="Sell", orderType="Market", qty="0", reduceOnly=True, closeOnTrigger=True)
    account.told(closing["result"]["orderId"], "Filled", "Cancelled")
    while Decimal(account.position()["size"]) != 0:
        rest.place_order(**linear, side="Sell", orderType="Market", qty="0", reduceOnly=True, closeOnTrigger=True)
        time.sleep(0.2)
    check("they go with the position", account.open() == [])
    gone = [item for item in account.log.items("order") if item["cancelType"] == "CancelByTpSlTsClear"]
    check("and that is told", len({item["orderId"] for item in gone}) == 3, gone)


def spot_orders(account, trading):
    """Coins bought and sold, and orders that wait under spot's filters."""
    breathe()
    cash = account.wallet()
    placed = trading.good("place_order", **spot, side="Buy", orderType="Limit", qty="0.010", price=str(best()[0] - 500))
    order_id = placed["data"]["orderId"]
    account.told(order_id, "New")
    check("spot has its own budget", placed["header"]["X-Bapi-Limit"] == "20", placed["header"])
    check("spot's orders are listed apart", [o["orderId"] for o in account.open(**spot)] == [order_id] and account.open() == [])
    trading.good("cancel_order", **spot, orderId=order_id)
    bought = trading.good("place_order", **spot, side="Buy", orderType="Market", qty="0.010", marketUnit="baseCoin")
    account.told(bought["data"]["orderId"], "Filled")
    fills = wait_for("it is bought", lambda: whole(account.fills(bought["data"]["orderId"]), "0.01"))
    paid = sum(Decimal(fill["execValue"]) + Decimal(fill["execFee"]) for fill in fills)
    check("coins are in the wallet", account.wallet("BTC") == Decimal("0.01"), account.wallet("BTC"))
    check("they were paid for", account.wallet() == cash - paid, cash, paid, account.wallet())
    refused(170131, rest.place_order, **spot, side="Sell", orderType="Limit", qty="0.02", price="70000")
    waiting = rest.place_order(
        **spot, side="Sell", orderType="Market", qty="0.005", triggerPrice="40000", orderFilter="tpslOrder"
    )["result"]["orderId"]
    account.told(waiting, "Untriggered")
    listed = rest.get_open_orders(**spot, orderFilter="tpslOrder")["result"]["list"]
    check("spot's stop is listed", [order["orderId"] for order in listed] == [waiting], listed)
    check("cancel-all leaves it", rest.cancel_all_orders(**spot)["result"]["list"] == [])
    rest.cancel_all_orders(**spot, orderFilter="tpslOrder")
    account.told(waiting, "Deactivated")
    sold = rest.place_order(**spot, side="Sell", orderType="Market", qty="0.010")["result"]["orderId"]
    account.told(sold, "Filled")
    check("coins are gone", account.wallet("BTC") == 0)
    refused(170213, rest.cancel_order, **spot, orderId=sold)


def rates(account):
    """The client waits by itself for as long as it is told to; and is told so once more before that."""
    headers = http(return_response_headers=True).get_open_orders(**linear)[2]
    check("REST tells its limits", headers["X-Bapi-Limit"] == "50" and int(headers["X-Bapi-Limit-Status"]) < 50, headers)
    hasty = http(retry_codes={-1})
    breathe()
    codes = []
    for n in range(14):
        try:
            hasty.amend_order(**linear, orderId="none-such", qty="0.1")
        except InvalidRequestError as error:
            codes.append(error.status_code)
    check("the eleventh in a second is too many", codes.count(10006) >= 1 and codes[:10] == [110001] * 10, codes)
    refused(110001, rest.amend_order, **linear, orderId="none-such", qty="0.1")
    refused(404, rest._submit_request, method="GET", path=f"{rest.endpoint}/v5/nowhere", query={})


def main():
    started = time.monotonic()
    market_data()
    public_streams()
    settings()
    account, trading = Account(), Trading()
    orders_over_the_socket(account, trading)
    trades(account, trading)
    orders_over_rest(account)
    waiting_orders(account)
    spot_orders(account, trading)
    rates(account)
    account.ws.exit()
    trading.ws.exit()
    print(f"all {checks} checks passed in {time.monotonic() - started:.1f} s")


main()
