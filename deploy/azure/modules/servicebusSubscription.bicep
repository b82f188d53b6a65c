// One subscription with its two rules, received from by the service of its name, whose retries go back to the topic.
param namespace string
param topic string
param subscription object
param consumer string

@description('Whoever scales the consumer by what is waiting. To read how much that is takes the owner\'s role, so it has it here alone.')
param scaler string

var dataOwner = '090c5cfd-751d-490a-894a-3ce6f1109419'
var sender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
var receiver = '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespace
}

resource within 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = {
  parent: bus
  name: topic
}

// Azure is given more deliveries than the emulator's file says: retries are copies, and a copy starts anew.
resource made 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = {
  parent: within
  name: subscription.Name
  properties: {
    lockDuration: subscription.Properties.LockDuration
    maxDeliveryCount: 2000
    deadLetteringOnMessageExpiration: subscription.Properties.DeadLetteringOnMessageExpiration
    requiresSession: subscription.Properties.RequiresSession
  }
}

resource rules 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2024-01-01' = [for rule in subscription.Rules: {
  parent: made
  name: rule.Name
  properties: {
    filterType: 'CorrelationFilter'
    correlationFilter: {
      properties: rule.Properties.CorrelationFilter.Properties
    }
  }
}]

// A new subscription has a rule of this name that lets everything through. This one in its place lets nothing through, and
// `zekt provision` removes it.
resource nothing 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2024-01-01' = {
  parent: made
  name: '$Default'
  properties: {
    filterType: 'SqlFilter'
    sqlFilter: {
      sqlExpression: '1=0'
    }
  }
  dependsOn: [
    rules
  ]
}

resource receiving 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(made.id, consumer, receiver)
  scope: made
  properties: {
    principalId: consumer
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', receiver)
  }
}

resource retrying 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(within.id, consumer, sender)
  scope: within
  properties: {
    principalId: consumer
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sender)
  }
}

resource counting 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(made.id, scaler, dataOwner)
  scope: made
  properties: {
    principalId: scaler
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataOwner)
  }
}
