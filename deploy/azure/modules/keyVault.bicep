// The vault with the master key, which wraps the data keys and never leaves it.
param name string
param location string
param logWorkspaceId string
param principals object

@description('The secrets that a part may read, by the part\'s name.')
param secretNames object

var cryptoServiceEncryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'premium'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Deny'
    }
  }
}

resource master 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  // checkov:skip=CKV_AZURE_40:a key that expires stops every write; it is rotated by an operator, and old versions still unwrap
  parent: vault
  name: 'zekt'
  properties: {
    kty: 'RSA-HSM'
    keySize: 3072
    keyOps: [
      'wrapKey'
      'unwrapKey'
    ]
    attributes: {
      enabled: true
      exportable: false
    }
  }
}

// Reading the key's versions, wrapping and unwrapping by this one key.
resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for part in items(principals): if (part.key != 'provision') {
  name: guid(master.id, part.value, cryptoServiceEncryptionUser)
  scope: master
  properties: {
    principalId: part.value
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoServiceEncryptionUser)
  }
}]

module secrets 'keyVaultSecrets.bicep' = [for reader in items(secretNames): {
  name: 'secrets-of-${reader.key}'
  params: {
    vault: vault.name
    names: reader.value
    principal: principals[reader.key]
  }
}]

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(logWorkspaceId)) {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: logWorkspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output id string = vault.id
output name string = vault.name
output keyUrl string = master.properties.keyUri
